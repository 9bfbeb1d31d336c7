import { Buffer } from "node:buffer";
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { Head, type Kept } from "../host/program_output.ts";
import type { FileDraft } from "../host/run_files.ts";
import { type ChildEnd, runChild } from "../host/spawn.ts";
import { codeOf, messageOf, StillRunningError, TerminalError, withDetail } from "../model/errors.ts";
import { parseMaybeJson, writeExactJson } from "../formats/exact_json.ts";
import type { Json } from "../model/json.ts";
import type { Args, ReadArgs } from "../language/kind.ts";
import { charset, command, fileName, format, json, number, path, template } from "../language/arg_types.ts";
import { nameOfFormat } from "../formats/format.ts";
import { parseBeside } from "../workers/parse_in_thread.ts";
import { type ActionContext, defineAction, saving, traceHeadersOf } from "./action.ts";

/** The options about a command's output. */
export const OUTPUT_OPTIONS = {
  format: format().optional().describe("How its standard output is parsed into json"),
  charset: charset().optional().describe("The charset of its output, if not UTF-8"),
  save: fileName().optional().describe("Saves its standard output to a file of this name in the run's folder"),
  keep: z.literal("tail").optional().describe("tail: keeps the end of output over 10 MB instead of failing"),
  ok: z.array(number({ min: 0, max: 255, integer: true })).optional().describe(
    "Exit codes that count as success; by default 0",
  ),
} as const;

const schemas = {
  kind: "run",
  main: command().describe("[command, argument, …], or a shell command without expressions"),
  options: {
    stdin: json().optional().describe("Its standard input: text unchanged, anything else as JSON"),
    env: z.record(z.string(), template()).optional().describe(
      "Environment variables in addition to the inherited ones",
    ),
    cwd: path().optional().describe("The folder it runs in, relative to this file; by default this file's folder"),
    ...OUTPUT_OPTIONS,
  },
} as const;

type RunArgs = Args<typeof schemas>;

/** Bytes that a command may write to each of standard output and standard error. */
const MOST_OUTPUT = 10_000_000;
/** Bytes as JSON that are left for both texts in a result of 10 MB. */
const TAIL_ROOM = MOST_OUTPUT - 1_000;
/** The most that standard output and its `lines` or `text` take together, as a multiple of standard output alone. */
const WITH_FORMAT = 2.5;
/** Bytes of each stream that stay in the detail of a failure. */
const FAILURE_OUTPUT = 200_000;

/**
 * Runs a command and waits until it and everything that it started has ended. The result contains its whole output. More than 10 MB
 * fails the step, and so does output that is not text in `charset`. `json` is standard output parsed by `format`; without a format it is
 * standard output parsed as JSON, or null if it is no JSON; with `format: base64` it is in `json` only. With `keep: tail` the result contains the end of an output that is too
 * large, and in `dropped` the number of bytes missing before it; `json` is then null without a `format`. The detail of a failure
 * contains the first 200 kB of `stdout` and the last of `stderr`, and in `dropped` the number of missing bytes of each.
 */
export const run = defineAction({
  ...schemas,
  summary: "Runs a command",
  defaults: { timeout: 600_000, attempts: 1 },
  check: checkOutput,
  async execute(args, context) {
    const name = nameOf((context.recorded ?? args).run);
    const [problem] = checkOutput(args);
    if (problem !== undefined) throw new TerminalError(`Cannot run ${name}: ${problem}`);
    const { save } = args;
    if (save === undefined) return { output: await runOnce(name, args, context) };
    const file = { name: save, what: `the standard output of ${name}` };
    return { output: await saving(context, file, (draft) => runOnce(name, args, context, draft)) };
  },
});

/** @param draft takes standard output */
async function runOnce(
  name: string,
  options: RunArgs,
  context: ActionContext<unknown>,
  draft?: FileDraft,
): Promise<Json> {
  const raw = options.format === "base64" ? new Head(MOST_OUTPUT) : undefined;
  const end = await start(name, options, context, draft ?? raw);
  if (!(options.ok ?? [0]).includes(end.code)) {
    throw withDetail(new Error(describe(name, end)), { code: end.code, ...shortened(end, options), json: null });
  }
  const { code, stdout, stderr } = end;
  const texts: Texts = draft === undefined ? { output: stdout, error: stderr } : { error: stderr };
  if (options.keep === undefined) checkWhole(name, texts);
  checkText(name, raw === undefined ? texts : { error: stderr });
  if (raw !== undefined) return { code, stdout: "", stderr: stderr.text, json: raw.bytes().toString("base64") };
  const out = draft === undefined ? stdout.text : await draft.keep("application/octet-stream");
  const json = draft === undefined ? await read(name, end, options, context) : null;
  const dropped = { stdout: draft === undefined ? stdout.dropped : 0, stderr: stderr.dropped };
  return { code, stdout: out, stderr: stderr.text, json, ...options.keep && { dropped } };
}

/** The streams that the result has as text. */
type Texts = { output?: Kept; error: Kept };

/** What is wrong with the options for the output of a run step or a command; templates are not checked. */
export function checkOutput(
  { keep, format, save }: Pick<ReadArgs<typeof schemas>, "keep" | "format" | "save">,
): string[] {
  if (save !== undefined && format !== undefined) {
    return [`format: "save" writes standard output to a file, so it is not parsed; remove one of the two`];
  }
  const isOfParts = format === undefined || format === "lines" || format === "text";
  if (keep === undefined || isOfParts) return [];
  const name = nameOfFormat(format);
  return [`format: "keep: tail" may leave out the beginning, without which ${name} cannot be read; use lines or text`];
}

async function start(
  name: string,
  options: RunArgs,
  context: ActionContext<unknown>,
  taker: FileDraft | Head | undefined,
): Promise<ChildEnd> {
  const { run, stdin, env = {}, cwd = ".", keep, format } = options;
  const [program, ...rest] = typeof run === "string" ? ["sh", "-c", run] : run;
  const folder = resolve(context.ruleFolder, cwd);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new TerminalError(`Cannot run ${name} in ${folder}: there is no such folder`);
  }
  // Relative to the rule file like all paths, even if `cwd` is another folder.
  const found = /^\.\.?\//.test(program) ? resolve(context.ruleFolder, program) : program;
  let unsaved: Error | undefined;
  const take = async (bytes: Uint8Array) => {
    if (taker instanceof Head) taker.add(Buffer.from(bytes));
    else await taker!.write(bytes).catch((error) => Promise.reject(unsaved = error));
  };
  const live = context.services.showOutput?.(context.run.id, context.path, options.charset);
  const environment = { ...context.services.childEnv(), ...contextVariables(context), ...env };
  try {
    return await (context.services.runChild ?? runChild)({
      program: found,
      args: rest,
      cwd: folder,
      env: environment,
      ...(stdin !== undefined && { stdin: typeof stdin === "string" ? stdin : writeExactJson(stdin) }),
      charset: options.charset,
      keep: {
        stdout: taker === undefined || taker instanceof Head ? MOST_OUTPUT : FAILURE_OUTPUT,
        stderr: MOST_OUTPUT,
      },
      ...(taker && { output: take }),
      ...(keep && { tail: format === undefined ? TAIL_ROOM : TAIL_ROOM / WITH_FORMAT }),
      ...(live && { watch: live.write }),
      signal: context.signal,
    });
  } catch (error) {
    if (error instanceof StillRunningError) throw error;
    if (context.signal.aborted) throw context.signal.reason;
    if (unsaved !== undefined) throw unsaved;
    throw explain(error, name, program, resolve(folder, found), environment.PATH);
  } finally {
    live?.close();
  }
}

/** Facts for scripts; `WHENTHEN_CAUSE` belongs into the header `whenthen-cause` of requests it sends to this program. */
function contextVariables(context: ActionContext<unknown>): Record<string, string> {
  const { run, path, attempt, services } = context;
  const { traceparent, tracestate } = traceHeadersOf(context);
  return {
    WHENTHEN_RULE: run.rule,
    WHENTHEN_RUN: run.id,
    WHENTHEN_STEP: path,
    WHENTHEN_ATTEMPT: String(attempt),
    WHENTHEN_CAUSE: services.causeHeader(run),
    ...traceparent !== undefined && { TRACEPARENT: traceparent },
    ...tracestate !== undefined && { TRACESTATE: tracestate },
  };
}

function explain(error: unknown, name: string, program: string, file: string, PATH = ""): Error {
  const [code, message] = [codeOf(error), messageOf(error)];
  if (code === "ENOENT" && !program.includes("/")) {
    return new TerminalError(`Cannot run ${name}: there is no command "${program}" in PATH (${PATH})`);
  }
  if (code === "ENOENT" && statSync(file, { throwIfNoEntry: false })) {
    return new TerminalError(`Cannot run ${name}: the interpreter in the first line of ${file} does not exist`);
  }
  if (code === "ENOENT") return new TerminalError(`Cannot run ${name}: there is no file ${file}`);
  if (code === "EACCES") {
    return new TerminalError(`Cannot run ${name}: it is not executable; run chmod +x on it`);
  }
  // A lack of processes or files may be temporary; a command line that the system refuses stays refused.
  const mayPass = ["EAGAIN", "EMFILE", "ENFILE", "ENOMEM", "ETXTBSY"].includes(code ?? "");
  return mayPass ? new Error(`Cannot run ${name}: ${message}`) : new TerminalError(`Cannot run ${name}: ${message}`);
}

/** @throws TerminalError if the output is larger than a result may be: the next step would take a part for the whole */
function checkWhole(name: string, texts: Texts): void {
  for (const [stream, { dropped }] of Object.entries(texts)) {
    if (dropped === 0) continue;
    const remedy = stream === "output"
      ? '"save: name" would put all of it into a file, "keep: tail" keep the end'
      : '"keep: tail" would keep the end';
    throw new TerminalError(
      `Cannot keep the standard ${stream} of ${name}: it wrote ${
        MOST_OUTPUT + dropped
      } bytes, at most ${MOST_OUTPUT} are kept; ${remedy}`,
    );
  }
}

/** @throws TerminalError if the output is not text: it would be changed silently */
function checkText(name: string, texts: Texts): void {
  for (const [stream, { undecodable }] of Object.entries(texts)) {
    if (undecodable === undefined) continue;
    throw new TerminalError(`Cannot read the standard ${stream} of ${name}: ${undecodable}`);
  }
}

function shortened(
  { stdout, stderr }: ChildEnd,
  { keep }: RunArgs,
): { stdout: string; stderr: string; dropped?: Json } {
  const out = shorten(stdout, keep === "tail" ? "last" : "first");
  const err = shorten(stderr, "last");
  const dropped = { stdout: out.dropped, stderr: err.dropped };
  return { stdout: out.text, stderr: err.text, ...((out.dropped > 0 || err.dropped > 0) && { dropped }) };
}

/** Counted as JSON, in which a control character takes six bytes. */
function shorten(kept: Kept, part: "first" | "last"): Kept {
  for (let length = Math.min(kept.text.length, FAILURE_OUTPUT);;) {
    const text = (part === "first" ? kept.text.slice(0, length) : kept.text.slice(-length)).toWellFormed();
    const over = Buffer.byteLength(JSON.stringify(text)) - FAILURE_OUTPUT;
    if (over <= 0) return { text, dropped: kept.dropped + Buffer.byteLength(kept.text) - Buffer.byteLength(text) };
    length -= Math.ceil(over / 6);
  }
}

async function read(
  name: string,
  { stdout }: ChildEnd,
  { format, keep }: RunArgs,
  { services }: ActionContext<unknown>,
): Promise<Json> {
  const warn = (message: string) => services.log("warn", `${name}: ${message}`, {});
  try {
    if (format !== undefined) return await parseBeside(stdout.text, format, { warn });
    // The rest of a JSON text may be another valid JSON text.
    if (keep !== undefined) return null;
    return parseMaybeJson(stdout.text, "json") ?? null;
  } catch (error) {
    throw withDetail(
      new Error(
        `Cannot read the output of ${name} as ${format === undefined ? "JSON" : nameOfFormat(format)}: ${
          messageOf(error)
        }`,
      ),
      stdout.text.slice(0, FAILURE_OUTPUT),
    );
  }
}

function nameOf(run: string | string[]): string {
  const line = typeof run === "string" ? run.trim().split("\n")[0] : run.join(" ");
  return `"${line.length > 80 ? `${line.slice(0, 79)}…` : line}"`;
}

function describe(name: string, { code, endedBy, stdout, stderr }: ChildEnd): string {
  const how = endedBy === undefined ? `exit code ${code}` : `signal ${endedBy}`;
  const last = lastLines(stderr.text) || lastLines(stdout.text);
  return `${name} ended with ${how}${last && `: ${last}`}`;
}

function lastLines(text: string): string {
  return text.trimEnd().split("\n").slice(-5).join("\n").slice(-500).trim();
}
