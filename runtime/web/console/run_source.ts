import type { StepRecord } from "../../model/run.ts";

/** The source of a TypeScript rule around one of its steps. */
export interface SourceView {
  text: string;
  /** The number of the first line shown, from 1. */
  first: number;
  /** Lines shown, and lines of the whole source. */
  lines: number;
  total: number;
  /** The number of the line of the step; absent if its name occurs nowhere, or more than once. */
  marked?: number;
}

/** Lines shown before and after the step, or from the beginning. */
const BESIDE = 40;

/** The part of a source that shows the step, or its beginning. */
export function viewSource(source: string, step: Pick<StepRecord, "path"> | undefined): SourceView {
  const lines = source.trimEnd().split("\n");
  const at = step === undefined ? undefined : lineOf(lines, nameOf(step.path));
  const from = at === undefined ? 0 : Math.max(0, at - BESIDE);
  const shown = lines.slice(from, (at ?? BESIDE) + BESIDE + 1);
  return {
    text: shown.join("\n"),
    first: from + 1,
    lines: shown.length,
    total: lines.length,
    ...at !== undefined && { marked: at + 1 },
  };
}

/** The name in the code of the step at a path: `both/crm/save#3` was written `save`. */
function nameOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1).replace(/#\d+$/, "").replace(/\[\d+\]$/, "");
  return decodeName(name);
}

/** Names of TypeScript steps are encoded in paths. */
export function decodeName(name: string): string {
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
