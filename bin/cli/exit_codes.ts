/** What the program's exit codes mean; `docs/operating.md` lists them. */
export const ExitCode = {
  ok: 0,
  /** What was asked for went wrong: a run or a poll failed, there is no such run. */
  failed: 1,
  /** A rule does not load. */
  broken: 2,
  /** `once --require-state` found a new store. */
  newStore: 3,
  /** The command line cannot be understood or followed (EX_USAGE of sysexits.h). */
  usage: 64,
} as const;

export type ExitCode = typeof ExitCode[keyof typeof ExitCode];
