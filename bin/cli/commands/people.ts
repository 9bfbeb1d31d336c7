import type { Command } from "commander";
import { writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { stderr, stdin } from "node:process";
import { text } from "node:stream/consumers";
import { isDeepStrictEqual } from "node:util";
import {
  Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Pair,
  parseDocument,
  stringify,
  visit,
  type YAMLMap,
} from "yaml";
import { readSettings } from "../../../runtime/folder/settings/settings.ts";
import { parseYaml } from "../../../runtime/folder/yaml/yaml.ts";
import { readRegularFile } from "../../../runtime/host/regular_file.ts";
import { codeOf, messageOf, UsageError } from "../../../runtime/model/errors.ts";
import type { Person } from "../../../runtime/model/form.ts";
import { isObject, type Json, type JsonObject } from "../../../runtime/model/json.ts";
import { formatProblem, type Problem } from "../../../runtime/model/problem.ts";
import { hashPassword, hashToken, newToken } from "../../../runtime/secrets/passwords.ts";
import { ownFolder } from "../../build/packed_folder.ts";
import { foldersToLoad } from "../folders.ts";
import { printPeople } from "../print/listings.ts";
import { prepareWidths } from "../print/terminal.ts";
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

/** `people` and `people add`: the people who answer forms. */
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
      await prepareWidths(JSON.stringify(listed));
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
    if (written) write(`${id} is in ${relative("", file.path)}\n`);
    else write(`Put this into whenthen.yaml of the rules folder:\n\n${lines}\n`);
    if (token !== undefined) write(`API token of ${id}, shown only now: ${token}\n`);
  });
}

/** Characters of the shortest password. */
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

const NAME = "whenthen.yaml";

/** The settings of a rules folder, for commands that read and change them. */
export class SettingsFile {
  private constructor(readonly path: string, private readonly text: string) {}

  /** @throws UsageError if the file has a problem */
  static async open(folder: string): Promise<SettingsFile> {
    const path = join(folder, NAME);
    const text = await readRegularFile(path).then(String, (error) => {
      if (codeOf(error) === "ENOENT") return "";
      throw new UsageError(`Cannot read ${path}: ${messageOf(error)}`);
    });
    const file = new SettingsFile(path, text);
    file.#read(text);
    return file;
  }

  get people(): Person[] {
    return this.#read(this.text).people;
  }

  /**
   * Adds a person, or sets these keys of one, and keeps everything else, including comments.
   * @returns false if the file has a form in which this is not safe; then nothing is changed
   * @throws UsageError if the person would be a problem
   */
  async put(id: string, entry: JsonObject): Promise<boolean> {
    const known = this.people.some((person) => person.id === id);
    const changes = known ? Object.entries(entry) : [];
    const text = known
      ? changes.reduce<string | undefined>(
        (text, [key, value]) => text && setInYaml(text, ["people", id, key], value),
        this.text,
      )
      : setInYaml(this.text, ["people", id], entry);
    if (text === undefined) return false;
    this.#read(text, ({ message }) => `Cannot put "${id}" into ${this.path}: ${message}`);
    if (!isDeepStrictEqual(valueOf(text), withPerson(valueOf(this.text), id, entry))) return false;
    await writeFile(this.path, text);
    return true;
  }

  #read(text: string, explain = (problem: Problem) => `Cannot use ${this.path}:\n${formatProblem(problem)}`) {
    const { settings, problems } = readSettings(parseYaml(text, NAME), this.path, undefined);
    const problem = problems.find(({ severity }) => severity === "error");
    if (problem !== undefined) throw new UsageError(explain(problem));
    return settings;
  }
}

function valueOf(text: string): JsonObject {
  return objectOf(parseYaml(text, NAME).value);
}

function withPerson(settings: JsonObject, id: string, entry: JsonObject): JsonObject {
  const people = objectOf(settings.people);
  return { ...settings, people: { ...people, [id]: { ...objectOf(people[id]), ...entry } } };
}

function objectOf(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

/**
 * Sets one value in a YAML text and keeps every other character, including comments.
 * @param path keys from the top; missing ones are created
 * @returns undefined if the text has a form in which this is impossible
 */
export function setInYaml(text: string, path: string[], value: Json): string | undefined {
  const document = parseDocument(text, { keepSourceTokens: true });
  if (document.errors.length > 0) return undefined;
  if (document.contents === null) return appended(text, nested(path, value), 0);
  let map: unknown = document.contents;
  for (const [depth, key] of path.entries()) {
    if (!isMap(map)) return undefined;
    const pair = findPair(map, key);
    if (pair === undefined) return insert(text, map, nested(path.slice(depth), value));
    if (isEmpty(pair.value)) return fill(text, map, pair, nested(path.slice(depth + 1), value));
    if (depth === path.length - 1) return replace(text, pair.value, value);
    map = pair.value;
  }
  return undefined;
}

function findPair(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key);
}

function isEmpty(value: unknown): boolean {
  return value === null || (isScalar(value) && value.value === null);
}

function nested(path: string[], value: Json): Json {
  return path.reduceRight<Json>((inner, key) => ({ [key]: inner }), value);
}

/** Adds entries to a map, in its own style. */
function insert(text: string, map: YAMLMap, entries: Json): string | undefined {
  if (map.range == null) return undefined;
  if (map.flow) {
    const end = map.range[1] - 1;
    const before = text.slice(0, end).trimEnd();
    const comma = map.items.length === 0 || before.endsWith(",") ? "" : ",";
    return `${before}${comma} ${yamlOf(entries, true).slice(1, -1)}${text.slice(before.length)}`;
  }
  const first = map.items[0].key;
  if (!isNode(first) || first.range == null) return undefined;
  const indent = first.range[0] - (text.lastIndexOf("\n", first.range[0] - 1) + 1);
  return addLines(text, lastOffset(map), yamlOf(entries, false), indent);
}

/** Sets the value of a key that has none. */
function fill(text: string, map: YAMLMap, { key }: Pair, value: Json): string | undefined {
  if (map.flow || !isNode(key) || key.range == null || typeof value !== "object") return undefined;
  const indent = key.range[0] - (text.lastIndexOf("\n", key.range[0] - 1) + 1);
  return addLines(text, key.range[1], yamlOf(value, false), indent + 2);
}

function replace(text: string, node: unknown, value: Json): string | undefined {
  if (!isNode(node) || node.range == null) return undefined;
  return text.slice(0, node.range[0]) + yamlOf(value, true) + text.slice(node.range[1]);
}

function appended(text: string, value: Json, indent: number): string {
  return addLines(text, text.length, yamlOf(value, false), indent);
}

/** Inserts lines after the line at an offset. */
function addLines(text: string, offset: number, lines: string, indent: number): string {
  const end = text.indexOf("\n", Math.max(0, offset - 1));
  const [before, after] = end === -1 ? [text, ""] : [text.slice(0, end), text.slice(end + 1)];
  const block = lines.replaceAll(/^(?=.)/gm, " ".repeat(indent));
  return `${before}${before === "" ? "" : "\n"}${block}${after}`;
}

/** The end of the last item in a block. */
function lastOffset(map: YAMLMap): number {
  let last = 0;
  visit(map, {
    Node: (_key, node) => {
      if (node !== map && node.range != null && !(isMap(node) && !node.flow) && !(isSeq(node) && !node.flow)) {
        last = Math.max(last, node.range[1]);
      }
    },
  });
  return last;
}

/** A value as YAML: in braces, or as lines with line breaks. Lists are always on one line. */
function yamlOf(value: Json, flow: boolean): string {
  const document = new Document(value);
  visit(document, { Seq: (_key, node) => void (node.flow = true) });
  if (flow && (isMap(document.contents) || isSeq(document.contents))) document.contents.flow = true;
  const text = document.toString({ lineWidth: 0, flowCollectionPadding: false });
  return flow ? text.trim() : text;
}
