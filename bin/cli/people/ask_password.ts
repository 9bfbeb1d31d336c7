import { stderr, stdin } from "node:process";
import { text } from "node:stream/consumers";
import { UsageError } from "../../../runtime/model/errors.ts";

const SHORTEST = 8;

/**
 * Asks for a new password on the terminal, twice and without echo.
 * @returns undefined if the answer is empty
 */
export async function askPassword(person: string): Promise<string | undefined> {
  if (!stdin.isTTY) {
    throw new UsageError(
      "Cannot ask for a password: this is no terminal; give it with --password-stdin, or make a token with --token",
    );
  }
  const password = await askHidden(`Password of ${person} (empty: none, only links by mail): `);
  if (password === "") return undefined;
  checkLength(password);
  if (await askHidden("Once more: ") !== password) {
    throw new UsageError("Cannot set the password: these are two different ones");
  }
  return password;
}

/** Reads a password from standard input, without a line break at its end. */
export async function readPassword(): Promise<string> {
  const password = (await text(stdin)).replace(/\r?\n$/, "");
  checkLength(password);
  return password;
}

function checkLength(password: string): void {
  if ([...password].length >= SHORTEST) return;
  throw new UsageError(`Cannot set the password: it has under ${SHORTEST} characters`);
}

const KEYS = { enter: "\r\n", end: "\x04", interrupt: "\x03", erase: "\x7f\b" };

/** Reads one line from a terminal without echo. */
function askHidden(question: string): Promise<string> {
  stderr.write(question);
  return new Promise((resolve, reject) => {
    let typed: string[] = [];
    const finish = (settle: () => void) => {
      stdin.off("data", read).setRawMode(false).pause();
      stderr.write("\n");
      settle();
    };
    const read = (chunk: string) => {
      for (const key of chunk) {
        if (KEYS.enter.includes(key) || key === KEYS.end) return finish(() => resolve(typed.join("")));
        if (key === KEYS.interrupt) return finish(() => reject(new UsageError("Nothing was changed")));
        if (KEYS.erase.includes(key)) typed = typed.slice(0, -1);
        else typed.push(key);
      }
    };
    stdin.setRawMode(true).setEncoding("utf8").on("data", read).resume();
  });
}
