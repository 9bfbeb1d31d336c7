import type { Recorded } from "./recorded.ts";

/** Branches by name. Steps in them are called on the same `step`; their paths begin with the path of the branch. */
export type Branches = { readonly [name: string]: () => unknown };

/** The result of a branch. */
export type BranchResult<Branch> = Branch extends () => infer Result ? Recorded<Awaited<Result>> : never;

/** The results of all branches. */
export type AllResult<B extends Branches> = { -readonly [Name in keyof B]: BranchResult<B[Name]> };

/** The results of the branches that succeeded first; null for those that failed or were cancelled. */
export type SomeResult<B extends Branches> = { -readonly [Name in keyof B]: BranchResult<B[Name]> | null };

/** The branch that succeeded first, with its result. `winner` is its name, so that `result` has that branch's type. */
export type AnyResult<B extends Branches> = {
  [Name in keyof B & string]: { winner: Name; result: BranchResult<B[Name]> };
}[keyof B & string];

export interface EachOptions {
  /** How many items at once. @default 1 */
  max?: number;
  /** How fast items may begin: `10/s`. */
  rate?: string;
}

/** The result of an `each`. */
export interface EachResult<Result> {
  total: number;
  failed: number;
  /** By item. */
  results: Result[];
  errors: EachError[];
}

/** An item that failed. */
export interface EachError {
  index: number;
  /** The path of the step that failed; if no step failed, that of the item. */
  step: string;
  message: string;
}
