import type { Position } from "../../model/problem.ts";

/** The positions of the parts of a raw value in its file. YAML has ranges, TypeScript only the position of the rule call. */
export interface Origin {
  /** Path relative to the rules folder, with forward slashes. */
  file: string;
  language: "yaml" | "typescript";
  /** The position of the key or the value at a path. For a path that does not exist: that of the nearest parent. */
  at(path: (string | number)[], part: "key" | "value"): Position;
  /** The position of a part of a scalar's text; that of the scalar if the part cannot be located (escapes, folded lines). */
  within(path: (string | number)[], offset: number, length: number): Position;
}
