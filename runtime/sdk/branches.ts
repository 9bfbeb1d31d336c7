import type { Recorded } from "./recorded.ts";

/** Branches by name. The steps in them are called on the same `step`; their paths begin with those of the branch. */
export type Branches = { readonly [name: string]: () => unknown };

/** What a branch gives. */
export type BranchResult<Branch> = Branch extends () => infer Result ? Recorded<Awaited<Result>> : never;

/** What all branches gave. */
export type AllResult<B extends Branches> = { -readonly [Name in keyof B]: BranchResult<B[Name]> };

/** What those branches gave that came first; null for those that failed or were cancelled. */
export type SomeResult<B extends Branches> = { -readonly [Name in keyof B]: BranchResult<B[Name]> | null };

/** The branch that succeeded first, and what it gave. `winner` tells which, so that `result` has that branch's type. */
export type AnyResult<B extends Branches> = {
  [Name in keyof B & string]: { winner: Name; result: BranchResult<B[Name]> };
}[keyof B & string];

export interface EachOptions {
  /** Items at once. @default 1 */
  max?: number;
  /** How fast items may begin: `10/s`. */
  rate?: string;
}

/** What an `each` came to. */
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
  /** The path of the step that failed it; that of the item where it was no step. */
  step: string;
  message: string;
}
