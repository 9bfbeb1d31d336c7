import type { Command } from "commander";
import { relative } from "node:path";
import { stderr, stdin } from "node:process";
import { text } from "node:stream/consumers";
import { stringify } from "yaml";
import { UsageError } from "../../../runtime/model/errors.ts";
import type { JsonObject } from "../../../runtime/model/json.ts";
import { hashPassword, hashToken, newToken } from "../../../runtime/secrets/passwords.ts";
import { ownFolder } from "../../build/pack/packed_folder.ts";
import { foldersToLoad } from "../folders.ts";
import { SettingsFile } from "../people/settings_file.ts";
import { printPeople } from "../print/listings.ts";
import { jsonOption, print, type Session } from "../session.ts";

interface FolderOptions {
  json?: true;
  folder?: string;
}

interface AddOptions extends FolderOptions {
  name?: string;
  email?: string;
  group?: string[];
  passwordStdin?: true;
  token?: true;
}

/** `people` and `people add`: who answers forms. */
export function addPeople(program: Command, session: Session): void {
  const people = program.command("people")
    .description("the people who answer forms; people add ID adds one to whenthen.yaml")
    .addOption(jsonOption())
    .option("--folder <dir>", "the rules folder (default: rules)")
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<FolderOptions>();
      const { folder } = await foldersToLoad(options.folder);
      const listed = (await SettingsFile.open(folder)).people.map(({ password, token, ...person }) => {
        return { ...person, password: password !== undefined, token: token !== undefined };
      });
      print(session, options, listed, printPeople);
    });

  people.command("add")
    .description("add a person, or give one a new password or token")
    .addOption(jsonOption())
    .argument("<id>", "the person's id, as rules use it in to:")
    .option("--folder <dir>", "the rules folder (default: rules)")
    .option("--name <name>", "the person's name, as shown")
    .option("--email <address>", "the e-mail address")
    .option("--group <name...>", "groups that the person is in")
    .option("--password-stdin", "read the password from standard input instead of asking on the terminal")
    .option("--token", "make an API token, shown once, instead of asking for a password")
    .action((id: string, _options, command: Command) => add(id, command.optsWithGlobals<AddOptions>(), session));
}

async function add(id: string, options: AddOptions, session: Session): Promise<void> {
  const { folder } = await foldersToLoad(options.folder);
  const file = await SettingsFile.open(folder);
  const facts = { name: options.name, email: options.email, groups: options.group };
  const given = Object.entries(facts).filter(([, fact]) => fact !== undefined);
  if (given.length > 0 && file.people.some((person) => person.id === id)) {
    throw new UsageError(`Cannot add ${id}: this person is there; change name, address and groups in ${file.path}`);
  }
  const password = options.passwordStdin ? await readPassword() : options.token ? undefined : await askPassword(id);
  const token = options.token && newToken();
  const entry: JsonObject = {
    ...Object.fromEntries(given),
    ...password !== undefined && { password: await hashPassword(password) },
    ...token !== undefined && { token: hashToken(token) },
  };
  // A packed folder cannot be changed.
  const isPacked = options.folder === undefined && await ownFolder() !== undefined;
  const written = !isPacked && await file.put(id, entry);
  const value = { id, ...entry, ...token !== undefined && { token } };
  print(session, options, value, ({ write }) => {
    const lines = stringify({ people: { [id]: entry } }, { lineWidth: 0 });
    write(
      written
        ? `${id} is in ${relative("", file.path)}\n`
        : `Put this into whenthen.yaml of the rules folder:\n\n${lines}\n`,
    );
    if (token !== undefined) write(`API token of ${id}, shown only now: ${token}\n`);
  });
}

const SHORTEST = 8;

/**
 * Asks for a new password on the terminal, twice and without echo.
 * @returns undefined if the answer is empty
 */
async function askPassword(person: string): Promise<string | undefined> {
  if (!stdin.isTTY) {
    throw new UsageError(
      "Cannot ask for a password: this is not a terminal; give it with --password-stdin, or make a token with --token",
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
async function readPassword(): Promise<string> {
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
