import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { TIMEOUT, until } from "./e2e/until.ts";

export const ROOT = new URL("..", import.meta.url).pathname;

/** A code block of a document. */
export interface Block {
  language: string;
  text: string;
}

/** A document for users: README.md or a file in docs/. */
export interface UserDocument {
  /** Relative to the project. */
  path: string;
  text: string;
  blocks: Block[];
}

/** README.md and all files in docs/. */
export async function readDocuments(): Promise<UserDocument[]> {
  const docs = (await readdir(join(ROOT, "docs"))).filter((name) => name.endsWith(".md")).sort();
  return await Promise.all(["README.md", ...docs.map((name) => `docs/${name}`)].map(readDocument));
}

/** One document of the project, by its path. */
export async function readDocument(path: string): Promise<UserDocument> {
  const text = await readFile(join(ROOT, path), "utf8");
  const found = text.matchAll(/^ *```(\w+)\n(.*?)^ *```$/gms);
  return { path, text, blocks: [...found].map(([, language, text]) => ({ language, text })) };
}

/** Whether a block is a file that the reader saves: a rule, an action, a setting, a test. */
export function isFile({ language }: Block): boolean {
  return language === "yaml" || language === "ts";
}

/** The name of a file, which its first line says. */
export function nameOf({ text }: Block): string {
  const name = /^(?:#|\/\/) (\S+\.(?:yaml|ts))\n/.exec(text)?.[1];
  assert.ok(name, `a file's name in the first line of:\n${text}`);
  return name;
}

/** Writes a file of a document below a folder. */
export async function writeBlock(block: Block, folder: string): Promise<void> {
  const path = join(folder, nameOf(block));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, block.text);
}

/** The lines of all code blocks in a language. */
export function linesOf(language: string, { blocks }: UserDocument): string[] {
  return blocks.filter((block) => block.language === language).flatMap(({ text }) => text.trimEnd().split("\n"));
}

/** How documents call the program from source. */
export const CALL = "npm run -s whenthen --";

/** How the commands of documents are run. */
export interface Walk {
  /** A copy of the project. */
  cwd: string;
  /** What starts the program if a document does not say it. */
  start: string;
  /** What is run for a line: `start` makes it the program that the next lines talk to; undefined leaves the line out. */
  command(line: string): { line: string; isStart: boolean } | undefined;
  /** Runs such a line to its end. @default shell */
  execute?: Execute;
}

type Execute = (line: string, cwd: string) => Promise<{ code: number; output: string }>;

/**
 * Follows a document from top to bottom: runs its commands while the program runs, and saves its files if `saves`.
 * A block `text` is the expected output: after commands theirs, after a file that of the program.
 * @param seen lines that the program must have printed at the end
 */
export async function walk(document: UserDocument, how: Walk, saves: boolean, seen: string[] = []): Promise<void> {
  const [first] = linesOf("sh", document).flatMap((line) => how.command(line) ?? []);
  let program = first.isStart ? undefined : await running(how.start, how.cwd);
  let look: ((text: string) => Promise<void>) | undefined;
  try {
    for (const block of document.blocks) {
      if (block.language === "text") {
        for (const text of block.text.trimEnd().split("\n")) await look?.(text);
      } else if (block.language === "sh") {
        for (const written of block.text.trimEnd().split("\n")) {
          const command = how.command(written);
          if (command === undefined) continue;
          if (command.isStart) {
            await program?.[Symbol.asyncDispose]();
            program = await running(command.line, how.cwd);
            continue;
          }
          const line = command.line.replaceAll("http://127.0.0.1:8080", program!.url);
          const run = () => succeed(line, how.cwd, how.execute);
          const output = await run();
          look = async (text) => {
            if (output.includes(text)) return;
            await until(`"${text}" in the output of ${written}`, run, (now) => now.includes(text));
          };
        }
      } else if (saves && isFile(block)) {
        const before = program!.printed();
        await writeBlock(block, how.cwd);
        look = (text) => program!.shown(text, before);
      }
    }
    for (const text of seen) await program!.shown(text);
  } finally {
    await program?.[Symbol.asyncDispose]();
  }
}

/** The environment of commands: the Deno that runs the tests, a free port, no token. */
function environment(): NodeJS.ProcessEnv {
  const PATH = `${dirname(Deno.execPath())}:${process.env.PATH}`;
  return { ...process.env, PATH, PORT: "0", WHENTHEN_TOKEN: "", NO_COLOR: "1" };
}

/** Runs a line of a shell to its end. */
export function shell(line: string, cwd: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile("bash", ["-c", line], { cwd, env: environment() }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr });
    });
  });
}

/** A process that runs commands of the program one after the other: `line` is what follows the program in a shell. */
export function openCommands(cwd: string) {
  const loop = new URL("command_loop.ts", import.meta.url).pathname;
  const flags = ["-A", "--node-modules-dir=manual", "--config", join(ROOT, "deno.json")];
  const child = spawn(Deno.execPath(), ["run", ...flags, loop], {
    cwd,
    env: environment(),
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    async run(line: string): Promise<{ code: number; output: string }> {
      const words = await shell(`printf '%s\\0' ${line}`, cwd);
      child.stdin!.write(`${JSON.stringify(words.output.split("\0").slice(0, -1))}\n`);
      const { value, done } = await answers.next();
      assert.ok(!done, `the process that runs commands ended at ${line}`);
      return JSON.parse(value);
    },
    async [Symbol.asyncDispose]() {
      child.stdin!.end();
      await ended;
    },
  };
}

async function succeed(line: string, cwd: string, execute: Execute = shell): Promise<string> {
  const { code, output } = await execute(line, cwd);
  assert.equal(code, 0, `${line}\n${output}`);
  assert.ok(!/^\{"error"/m.test(output), `${line}\n${output}`);
  return output;
}

/** A command that runs until it is stopped; resolves when it listens. It has its own process group, because npm starts other processes. */
export async function running(command: string, cwd: string) {
  const child: ChildProcess = spawn("bash", ["-c", command], {
    cwd,
    env: environment(),
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const watchers = new Set<() => void>();
  const read = (text: string) => {
    output += text;
    watchers.forEach((look) => look());
  };
  child.stdout!.setEncoding("utf8").on("data", read);
  child.stderr!.setEncoding("utf8").on("data", read);
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const program = {
    url: "",
    /** How much it has printed. */
    printed: () => output.length,
    /** Waits until it has printed this, after the first `from` characters. */
    shown: (text: string, from = 0) =>
      new Promise<void>((resolve, reject) => {
        const look = () => {
          if (output.includes(text, from)) finish(resolve);
        };
        const fail = () => finish(() => reject(new Error(`${command} did not print "${text}":\n${output}`)));
        const timer = setTimeout(fail, TIMEOUT);
        const finish = (settle: () => void) => {
          clearTimeout(timer);
          watchers.delete(look);
          settle();
        };
        watchers.add(look);
        ended.then(fail);
        look();
      }),
    async [Symbol.asyncDispose]() {
      process.kill(-child.pid!, "SIGTERM");
      await ended;
    },
  };
  try {
    await program.shown("Listening on ");
    program.url = /Listening on (http:\/\/[^\s"]+)/.exec(output)![1];
    return program;
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}
