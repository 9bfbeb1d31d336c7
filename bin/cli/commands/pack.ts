import type { Command } from "commander";
import { Buffer } from "node:buffer";
import { readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { execPath } from "node:process";
import { type CheckedFolder, checkFolder } from "../../../runtime/app/check_folder.ts";
import { listFolder, scopeOf } from "../../../runtime/folder/folder_files.ts";
import type { Settings } from "../../../runtime/folder/loaded.ts";
import { prebuild } from "../../../runtime/folder/typescript/typescript_files.ts";
import { parseYaml } from "../../../runtime/folder/yaml/yaml.ts";
import { embedded } from "../../../runtime/host/embedded.ts";
import { messageOf, UsageError } from "../../../runtime/model/errors.ts";
import type { Problem } from "../../../runtime/model/problem.ts";
import { encodeFolder, type PackedFile, type PackedFolder, writePacked } from "../../build/packed_folder.ts";
import { foldersToLoad } from "../folders.ts";
import { count, printProblems } from "../print/checks.ts";
import { progress } from "../print/progress.ts";
import { type CommonOptions, dataOption, envOption, ExitCode, logOption, type Session } from "../session.ts";
import { startLog } from "../start_log.ts";

/** `pack`: makes a copy of the binary with a folder inside. */
export function addPack(program: Command, session: Session): void {
  program.command("pack").description("make a copy of this program with a folder inside, which runs that folder")
    .argument("<folder>", "the rules folder")
    .requiredOption("-o, --output <file>", "where to")
    .addOption(dataOption()).addOption(envOption()).addOption(logOption())
    .addHelpText(
      "after",
      "\nLeft out are hidden files (so .env), files of secrets that whenthen.yaml names, and node_modules (what TypeScript imports is in its bundle)." +
        "\nExits with 2 if the folder has problems",
    )
    .action(async (folder: string, _options, command: Command) => {
      if (!embedded) {
        throw new UsageError(
          "Cannot pack from source: a packed file is a copy of the binary; make it by: deno task compile",
        );
      }
      const { output, ...options } = command.optsWithGlobals<CommonOptions & { output: string }>();
      const folders = await foldersToLoad(folder, { data: options.data });
      const out = await placeOf(output);
      await startLog(options.log, "warning");
      progress.show("checking the folder, bundling its TypeScript");
      const { packed, problems, rules } = await collect({ ...folders, env: options.env, out })
        .finally(() => progress.end());
      printProblems(session.terminal, problems);
      if (packed === undefined) {
        session.exitCode = ExitCode.broken;
        return;
      }
      const payload = encodeFolder(packed);
      progress.show(`writing ${output}`);
      await writePacked(execPath, payload, out).catch((error) => {
        throw new UsageError(`Cannot write ${output}: ${messageOf(error)}`);
      }).finally(() => progress.end());
      const what = `${count(rules, "rule")} in ${count(packed.files.length, "file")}`;
      session.terminal.write(`${relative("", out)} runs ${what} (${Math.ceil(payload.length / 1024)} kB packed)\n`);
    });
}

async function placeOf(output: string): Promise<string> {
  const out = resolve(output);
  const [there, above] = await Promise.all([out, dirname(out)].map((path) => stat(path).catch(() => undefined)));
  if (there?.isDirectory()) throw new UsageError(`Cannot write ${output}: it is a folder; name a file`);
  if (!above?.isDirectory()) throw new UsageError(`Cannot write ${output}: there is no folder ${dirname(out)}`);
  return out;
}

const SETTINGS = "whenthen.yaml";
/** The position of a problem of a whole file. */
const TOP = { line: 1, column: 1 };
const SECRETS_REMEDY =
  "the packed program takes secrets from its environment, or from a folder named by its absolute path";

/** What to pack, or why it cannot be packed. */
interface Collected {
  /** Also warnings; if there is an error among them, `packed` is absent. */
  problems: Problem[];
  rules: number;
  packed?: PackedFolder;
}

/** What to collect; absolute paths. */
interface CollectOptions {
  folder: string;
  data: string;
  env?: string;
  /** The path of the packed file; an earlier one may be in the folder. */
  out: string;
}

/** Checks a folder and collects all that its rules need from it: their own files, and all files next to them. */
export async function collect(options: CollectOptions): Promise<Collected> {
  const { folder, data } = options;
  const checked = await checkFolder(options);
  const secrets = await SecretFiles.of(checked.settings);
  const problems = [...checked.problems, ...callsOutside(checked), ...await importedSecrets(checked, secrets)];
  const rules = checked.rules.size;
  if (problems.some(({ severity }) => severity === "error")) return { problems, rules };
  const prebuilt = await prebuild(folder, checked.typescript, join(data, "cache"));
  const { files, leftOut } = await filesOf(options, secrets);
  problems.push(...leftOut, ...passwordHashes(checked, files));
  return { problems, rules, packed: { files, prebuilt } };
}

/** Problems of calls whose target is outside of the folder, and so would be missing. TypeScript imports are in the bundle. */
function callsOutside({ rules }: CheckedFolder): Problem[] {
  return [...rules.values()].flatMap(({ file, actions, commands = {}, modules }) => {
    const targets = [...Object.keys(actions), ...Object.keys(commands), ...Object.keys(modules)];
    return targets.filter((path) => path.startsWith("../")).map((path): Problem => ({
      severity: "error",
      file,
      at: TOP,
      message: `calls ${path}, which lies outside of the folder and would not be packed`,
      hint: "move it into the folder, or pack the folder above",
    }));
  });
}

/** Problems of code that imports a file of secrets: it would be packed with the bundle. */
async function importedSecrets({ typescript }: CheckedFolder, secrets: SecretFiles): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const [file, { inputs }] of typescript) {
    for (const path of inputs) {
      if (!await secrets.has(path)) continue;
      const message = `imports ${path}, a file of secrets, which would be packed`;
      problems.push({ severity: "error", file, at: TOP, message, hint: "use secrets.NAME instead" });
    }
  }
  return problems;
}

/** Warnings of password hashes: anyone with the packed file can try passwords against them without limit. */
function passwordHashes({ settings: { people } }: CheckedFolder, files: PackedFile[]): Problem[] {
  const settings = files.find(({ path }) => path === SETTINGS);
  const owners = people.filter(({ password }) => password !== undefined);
  if (settings === undefined || owners.length === 0) return [];
  const { origin } = parseYaml(Buffer.from(settings.content, "base64").toString(), SETTINGS);
  return owners.map(({ id }): Problem => ({
    severity: "warning",
    file: SETTINGS,
    at: origin.at(["people", id, "password"], "key"),
    message: `the hash of the password of ${id} is packed: whoever has the file can try to guess it`,
    hint: "give the file to nobody else, or pack a folder in which people have no passwords",
  }));
}

/**
 * All files that are not hidden. Secrets stay outside, both `.env` and the files and folders that the settings name,
 * because the packed file is copied around.
 */
async function filesOf(
  { folder, data, out }: CollectOptions,
  secrets: SecretFiles,
): Promise<{ files: PackedFile[]; leftOut: Problem[] }> {
  const { files: listed } = await listFolder(scopeOf(folder, data));
  const paths = listed.filter((path) => basename(path) !== ".env" && join(folder, path) !== out);
  const files: PackedFile[] = [];
  const leftOut: Problem[] = [];
  const leave = (file: string, why: string, hint?: string) =>
    leftOut.push({ severity: "warning", file, at: TOP, message: `left out: ${why}`, ...hint && { hint } });
  for (const path of paths) {
    const absolute = join(folder, path);
    const facts = await stat(absolute).catch(() => undefined);
    if (!facts?.isFile()) leave(path, "it is not a regular file");
    else if (await secrets.has(absolute)) leave(path, `${SETTINGS} names it as a file of secrets`, SECRETS_REMEDY);
    else files.push({ path, executable: (facts.mode & 0o100) !== 0, content: await readFile(absolute, "base64") });
  }
  return { files, leftOut };
}

/** The files that secrets come from, by their real paths: a link to one of them counts as the same file. */
class SecretFiles {
  private constructor(private readonly places: string[]) {}

  static async of({ secrets }: Pick<Settings, "secrets">): Promise<SecretFiles> {
    const places = await Promise.all([...secrets.files, ...secrets.folders].map(realPath));
    return new SecretFiles(places);
  }

  /** @param path absolute */
  async has(path: string): Promise<boolean> {
    const real = await realPath(path);
    return this.places.some((place) => real === place || real.startsWith(place + sep));
  }
}

/** A missing file is known by its own path. */
async function realPath(path: string): Promise<string> {
  return await realpath(path).catch(() => path);
}
