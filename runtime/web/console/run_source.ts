import type { StepRecord } from "../../model/run.ts";

/** The source of a TypeScript rule around one of its steps. */
export interface SourceView {
  before: string;
  /** The line of the step; absent if its name stands nowhere, or more than once. */
  line?: string;
  after: string;
  /** The number of the first line shown, from 1. */
  first: number;
  /** Lines of the whole source. */
  total: number;
}

/** Lines shown before and after the step, or from the beginning. */
const BESIDE = 40;

/** The part of a source that shows the step, or its beginning. */
export function viewSource(source: string, step: Pick<StepRecord, "path"> | undefined): SourceView {
  const lines = source.trimEnd().split("\n");
  const marked = step === undefined ? undefined : lineOf(lines, nameOf(step.path));
  const from = marked === undefined ? 0 : Math.max(0, marked - BESIDE);
  const to = Math.min(lines.length, (marked ?? BESIDE) + BESIDE + 1);
  const text = (start: number, end: number) => lines.slice(start, end).map((line) => `${line}\n`).join("");
  return {
    before: text(from, marked ?? to),
    ...marked !== undefined && { line: lines[marked] },
    after: marked === undefined ? "" : text(marked + 1, to),
    first: from + 1,
    total: lines.length,
  };
}

/** The name in the code of the step at a path: `both/crm/save#3` was written `save`. */
function nameOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1).replace(/#\d+$/, "").replace(/\[\d+\]$/, "");
  return name.replaceAll("%2F", "/").replaceAll("%5B", "[").replaceAll("%25", "%");
}

/** The index of the only line that calls a step of that name. */
function lineOf(lines: string[], name: string): number | undefined {
  const quoted = [`"${name}"`, `'${name}'`, `\`${name}\``];
  const found = lines.flatMap((line, index) => {
    const isCall = quoted.some((text) => line.includes(`(${text}`) || line.trimStart().startsWith(`${text},`));
    return isCall ? [index] : [];
  });
  return found.length === 1 ? found[0] : undefined;
}
