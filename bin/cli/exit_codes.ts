/** What the program's exit codes mean; `docs/operating.md` lists them. */
export const ExitCode = {
  ok: 0,
  /** The command failed: a run or a poll failed, or the given run does not exist. */
  failed: 1,
  /** A rule does not load. */
  broken: 2,
  /** `once --require-state` found a new store. */
  newStore: 3,
  /** The command line is invalid (EX_USAGE of sysexits.h). */
  usage: 64,
} as const;

export type ExitCode = typeof ExitCode[keyof typeof ExitCode];
