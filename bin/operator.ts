import { userInfo } from "node:os";

/** The name of who uses the command line, for the notes of runs; undefined where the system knows none. */
export function operatorName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    // In a container the user may be a number without a name.
    return undefined;
  }
}
