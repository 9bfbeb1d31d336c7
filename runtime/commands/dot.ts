import type { Command } from "../model/rule.ts";

/** The relations between inputs as a graph for Graphviz: arrows mean "requires", dashed lines "excludes". */
export function commandAsDot({ id, inputs }: Pick<Command, "id" | "inputs">): string {
  const related = new Set<string>();
  const lines: string[] = [];
  const edge = (from: string, to: string, style: string) => {
    related.add(from).add(to);
    lines.push(`  ${quoted(from)} -> ${quoted(to)}${style};`);
  };
  const excluded = new Set<string>();
  const exclude = (a: string, b: string) => {
    const pair = JSON.stringify([a, b].sort());
    if (a === b || excluded.has(pair)) return;
    excluded.add(pair);
    edge(a, b, " [dir=none, style=dashed, color=red]");
  };
  for (const [name, { requires = [], conflicts = [], oneOf = [] }] of Object.entries(inputs)) {
    for (const other of requires) {
      if (typeof other === "string") edge(name, other, "");
      else for (const each of other.any) edge(name, each, ' [style=dotted, label="any"]');
    }
    for (const other of [...conflicts, ...oneOf.flat()]) exclude(name, other);
  }
  const alone = Object.keys(inputs).filter((name) => !related.has(name)).map((name) => `  ${quoted(name)};`);
  return [`digraph ${quoted(id)} {`, "  rankdir=LR;", "  node [shape=box];", ...alone, ...lines, "}", ""].join("\n");
}

function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}
