import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { readRegularFile } from "../../../runtime/host/regular_file.ts";
import { readSettings } from "../../../runtime/folder/settings/settings.ts";
import { parseYaml } from "../../../runtime/folder/yaml/yaml.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import type { JsonObject } from "../../../runtime/model/json.ts";
import type { Person } from "../../../runtime/model/person.ts";
import { formatProblem, type Problem } from "../../../runtime/model/problem.ts";
import { setInYaml } from "./edit_settings.ts";

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
