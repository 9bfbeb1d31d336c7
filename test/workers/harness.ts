import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  type BundledModule,
  type CodeScope,
  type ExecuteStep,
  type Isolates,
  type StepCall,
  stepPath,
} from "../../runtime/workers/workers.ts";
import { type CodeLog, type IsolateOptions, openIsolates } from "../../runtime/workers/open_workers.ts";
import { bundle, esbuild, stopEsbuild } from "../../runtime/folder/typescript/typescript_bundle.ts";

/** A temporary folder with these files, removed after the test. */
export async function withFolder(files: Record<string, string>, use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "whenthen-ts-")));
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
    await use(folder);
  } finally {
    await stopEsbuild();
    await rm(folder, { recursive: true, force: true });
  }
}

export interface Fixture {
  isolates: Isolates;
  /** Bundles one file's text. */
  module(source: string, file?: string): Promise<BundledModule>;
  logs: CodeLog[];
  secretsUsed: string[];
}

/** Isolates and a bundler, closed after the test. */
export async function withIsolates(
  options: Partial<IsolateOptions>,
  use: (fixture: Fixture) => Promise<void>,
): Promise<void> {
  const logs: CodeLog[] = [];
  const secretsUsed: string[] = [];
  const isolates = openIsolates({
    secrets: () => ({}),
    onSecret: (name) => secretsUsed.push(name),
    env: () => ({}),
    onLog: (line) => logs.push(line),
    ...options,
  });
  let count = 0;
  try {
    await withFolder({}, async (folder) => {
      const module = async (source: string, file = `rule${count}.ts`) => {
        await writeFile(join(folder, file), source);
        const { code, problems } = await bundle(file, folder, await esbuild(folder));
        if (problems.length > 0) throw new Error(problems.map((problem) => problem.message).join("; "));
        return { version: `v${count++}`, file, code };
      };
      await use({ isolates, module, logs, secretsUsed });
    });
  } finally {
    await isolates.close();
  }
}

/** Source of a rule whose `then` has this body. */
export function ruleSource(body: string, more = ""): string {
  return `import { rule, manual, event, TerminalError, RetryAfterError } from "whenthen";\n` +
    `export default rule({ when: manual(), ${more} then: async ({ event, step, config, env, secrets, run, rule }) => {\n` +
    `${body}\n} });\n`;
}

export function scope(change: Partial<CodeScope> = {}): CodeScope {
  const event = { id: "1", source: "test", type: "manual", time: "2026-01-01T00:00:00Z", data: { n: 1 } };
  const run = { id: "run1", attempt: 1 };
  const control = { alone: false, ahead: false };
  return { run, rule: { id: "a", file: "a.ts" }, event, trigger: 0, config: {}, ...control, ...change };
}

/** Code that blocks its thread for ever, as an endless loop does, but uses no processor time. */
export const BLOCK = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);";

export const never = new AbortController().signal;

/** The kinds that the worker computes. */
const COMPUTED = ["do", "each", "all", "any"];

/** The main thread's side of a run without a store: lets the worker compute its steps, answers others by `answer`. */
export function executor(answer: (call: StepCall) => unknown = () => null): ExecuteStep & { calls: StepCall[] } {
  const calls: StepCall[] = [];
  const execute: ExecuteStep = async (call, computed) => {
    if (!computed) calls.push(call);
    if (!COMPUTED.includes(call.kind)) return { kind: "result", output: await answer(call) as null };
    const path = stepPath(call.scope, call.name);
    if (!computed) return { kind: "compute", attempt: 1, path };
    return "error" in computed
      ? { kind: "failed", error: computed.error }
      : { kind: "result", output: computed.output };
  };
  return Object.assign(execute, { calls });
}

/** A promise with its handles. */
export function gate<T = void>() {
  return Promise.withResolvers<T>();
}
