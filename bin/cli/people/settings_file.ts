import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Document, isMap, isNode, isScalar, isSeq, type Pair, parseDocument, visit, type YAMLMap } from "yaml";
import { readSettings } from "../../../runtime/folder/settings/settings.ts";
import { parseYaml } from "../../../runtime/folder/yaml/yaml.ts";
import { readRegularFile } from "../../../runtime/host/regular_file.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import type { Person } from "../../../runtime/model/form.ts";
import type { Json, JsonObject } from "../../../runtime/model/json.ts";
import { formatProblem, type Problem } from "../../../runtime/model/problem.ts";

const NAME = "whenthen.yaml";

/** The settings of a rules folder, for commands that read and change them. */
export class SettingsFile {
  private constructor(readonly path: string, private readonly text: string) {}

  /** @throws UsageError if the file has a problem */
  static async open(folder: string): Promise<SettingsFile> {
    const path = join(folder, NAME);
    const text = await readRegularFile(path).then(String, (error) => {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
      throw new UsageError(`Cannot read ${path}: ${(error as Error).message}`);
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
  return (parseYaml(text, NAME).value ?? {}) as JsonObject;
}

function withPerson(settings: JsonObject, id: string, entry: JsonObject): JsonObject {
  const people = (settings.people ?? {}) as Record<string, JsonObject | null>;
  return { ...settings, people: { ...people, [id]: { ...people[id], ...entry } } };
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
    return `${before}${comma} ${written(entries, true).slice(1, -1)}${text.slice(before.length)}`;
  }
  const first = map.items[0].key;
  if (!isNode(first) || first.range == null) return undefined;
  const indent = first.range[0] - (text.lastIndexOf("\n", first.range[0] - 1) + 1);
  return addLines(text, lastOffset(map), written(entries, false), indent);
}

/** Sets the value of a key that has none. */
function fill(text: string, map: YAMLMap, { key }: Pair, value: Json): string | undefined {
  if (map.flow || !isNode(key) || key.range == null || typeof value !== "object") return undefined;
  const indent = key.range[0] - (text.lastIndexOf("\n", key.range[0] - 1) + 1);
  return addLines(text, key.range[1], written(value, false), indent + 2);
}

function replace(text: string, node: unknown, value: Json): string | undefined {
  if (!isNode(node) || node.range == null) return undefined;
  return text.slice(0, node.range[0]) + written(value, true) + text.slice(node.range[1]);
}

function appended(text: string, value: Json, indent: number): string {
  return addLines(text, text.length, written(value, false), indent);
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

/** A value as YAML: in braces, or as lines with line breaks; lists are always on one line. */
function written(value: Json, flow: boolean): string {
  const document = new Document(value);
  visit(document, { Seq: (_key, node) => void (node.flow = true) });
  if (flow && (isMap(document.contents) || isSeq(document.contents))) document.contents.flow = true;
  const text = document.toString({ lineWidth: 0, flowCollectionPadding: false });
  return flow ? text.trim() : text;
}
