import type { Problem } from "../model/problem.ts";
import type { FolderFile } from "./folder_reader.ts";
import { lineOf } from "./yaml/yaml.ts";

/** Sorts problems by file, line and column, without duplicates, and adds the source line of each. */
export function arrange(problems: Problem[], files: FolderFile[]): Problem[] {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  const shown = problems.map((problem): Problem => {
    const text = texts.get(problem.file);
    if (problem.sourceLine !== undefined || text === undefined) return problem;
    const sourceLine = lineOf(text, problem.at.line);
    return { ...problem, ...(sourceLine !== undefined && { sourceLine }) };
  });
  const key = ({ file, at, message }: Problem) => `${file}\0${at.line}\0${at.column}\0${message}`;
  const once = [...new Map(shown.map((problem) => [key(problem), problem])).values()];
  return once.sort((a, b) => compare(a.file, b.file) || a.at.line - b.at.line || a.at.column - b.at.column);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
