import { readFileSync } from "node:fs";
import { userInfo } from "node:os";

/** The name of the user of the command line, for the notes of runs; undefined if the system knows none. */
export function operatorName(): string | undefined {
  try {
    const { username, uid } = userInfo();
    // Bun, inside the binary, only reads $USER, which services and containers need not set.
    return username === "unknown" ? accountName(uid) : username;
  } catch {
    // In a container the user may be a number without a name.
    return undefined;
  }
}

function accountName(uid: number): string | undefined {
  const accounts = readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":"));
  return accounts.find(([, , id]) => id === String(uid))?.[0];
}
