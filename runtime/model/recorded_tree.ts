import type { StepRecord } from "./run.ts";

/** A step of a run, or a branch, turn or list of one, with its children. */
export interface RecordedNode {
  path: string;
  /** The last part of its path: `save`, `[3]`, `then`. */
  name: string;
  /** Absent if it is not recorded, or only its children are. */
  record?: StepRecord;
  children: RecordedNode[];
}

/** The tree of a run's records by their paths, in the order of the records, and its nodes by path. */
export function recordedTree(steps: StepRecord[]): { roots: RecordedNode[]; nodes: Map<string, RecordedNode> } {
  const roots: RecordedNode[] = [];
  const nodes = new Map<string, RecordedNode>();
  const nodeAt = (path: string): RecordedNode => {
    const found = nodes.get(path);
    if (found !== undefined) return found;
    const [parent, name] = splitPath(path);
    const node: RecordedNode = { path, name, children: [] };
    (parent === "" ? roots : nodeAt(parent).children).push(node);
    nodes.set(path, node);
    return node;
  };
  for (const record of steps) nodeAt(record.path).record = record;
  return { roots, nodes };
}

/** The parent of a path, and its last part: `lines[3]` is in `lines`, and `lines[3]/save` in `lines[3]`. */
function splitPath(path: string): [string, string] {
  const slash = path.lastIndexOf("/");
  const bracket = /\[(\d+|items)\]$/.exec(path)?.index ?? -1;
  if (bracket > slash + 1) return [path.slice(0, bracket), path.slice(bracket)];
  return [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
}
