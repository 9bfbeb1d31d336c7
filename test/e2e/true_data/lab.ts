import { Buffer } from "node:buffer";
import type { ServerResponse } from "node:http";
import { rulesFolder } from "../folder.ts";
import { type Answered, type Program, start } from "../program.ts";
import { until } from "../until.ts";
import { type Seen, WebServer } from "../web_server.ts";

/** One row of the table: the input, the expected output, and how to read the output. */
export interface Case {
  /** The kind of wrong data, 1 to 11. */
  kind: number;
  input: string;
  /** A value; for a text also a pattern. */
  expected: unknown;
  got(lab: Lab): Promise<unknown>;
}

/** A response of the server that rules call. */
export interface PeerAnswer {
  status?: number;
  headers?: Record<string, string | string[]>;
  body?: string | Uint8Array;
}

/** A part of the table with the rules and the server that its rows need. */
export interface Part {
  /** Rule files by name; `PEER` in them is the server's address. */
  files: Record<string, string>;
  /** By path: the answers to successive requests; the last one stays. */
  answers: Record<string, PeerAnswer[] | ((seen: Seen) => PeerAnswer)>;
  cases: Case[];
}

/** The program with the rules of all parts, and the server that they call. */
export class Lab implements AsyncDisposable {
  private constructor(
    readonly program: Program,
    readonly peer: WebServer,
    readonly folder: Awaited<ReturnType<typeof rulesFolder>>,
    private readonly answers: ReadonlyMap<string, Part["answers"][string]>,
  ) {}

  static async start(parts: Part[]): Promise<Lab> {
    const answers = new Map(parts.flatMap((part) => Object.entries(part.answers)));
    const counts = new Map<string, number>();
    const peer = await WebServer.start((seen, response) => {
      const [path] = seen.path.split("?");
      const answer = answers.get(path);
      const count = counts.get(path) ?? 0;
      counts.set(path, count + 1);
      give(response, Array.isArray(answer) ? answer[Math.min(count, answer.length - 1)] : answer?.(seen) ?? {});
    });
    const files = parts.flatMap((part) => Object.entries(part.files));
    const folder = await rulesFolder(
      Object.fromEntries(files.map(([name, text]) => [name, text.replaceAll("PEER", peer.url)])),
    );
    const program = start(folder.rules, { data: folder.data });
    await program.url();
    return new Lab(program, peer, folder, answers);
  }

  /** Posts to a hook: text and bytes unchanged, anything else as JSON. */
  async send(
    path: string,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; text: string; headers: Headers }> {
    const isRaw = typeof body === "string" || body instanceof Uint8Array;
    const response = await this.program.fetch(`/hooks${path}`, {
      method: "POST",
      body: isRaw ? body as BodyInit : JSON.stringify(body),
      headers: { "content-type": "application/json", ...headers },
    });
    return { status: response.status, text: await response.text(), headers: response.headers };
  }

  /** What a rule replied. */
  async reply(path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<Answered> {
    const { text } = await this.send(path, body, headers);
    return JSON.parse(text);
  }

  /** The error of the run that a delivery started. */
  async failure(path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<string> {
    const { runs } = await this.reply(path, body, headers);
    const { run } = await until("the run's end", () => this.program.api(`runs/${runs[0]}`), ({ run }) => run.error);
    return run.error.message;
  }

  /** What the rule of a poll has logged after it has processed all responses of its server. */
  async polled(path: string, rule: string): Promise<string[]> {
    const answers = this.answers.get(path)!;
    // The next request comes after the last response was processed.
    await this.peer.waitFor(answers.length + 1, (seen) => seen.path.split("?")[0] === path);
    return await this.logged(rule);
  }

  /** The output of the `log` steps of a rule, after all its runs have ended. */
  async logged(rule: string): Promise<string[]> {
    const idle = (runs: Answered[]) => runs.every(({ state }) => state === "succeeded");
    const runs: Answered[] = await until(`the runs of ${rule}`, () => this.program.api(`runs?rule=${rule}`), idle);
    const ended = () =>
      Promise.resolve(this.program.lines.filter(({ properties: { state, rule: of } }) => state && of === rule));
    await until(`the log of ${rule}`, ended, (lines) => lines.length >= runs.length);
    return this.program.lines.filter(({ properties: { step, rule: of } }) => step && of === rule)
      .map(({ message }) => message);
  }

  /** The warnings about a rule's trigger. */
  warnings(rule: string): string[] {
    return this.program.lines.filter(({ level, properties }) => level === "WARN" && properties.rule === rule)
      .map(({ message }) => message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.peer[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

function give(response: ServerResponse, { status = 200, headers = {}, body = "" }: PeerAnswer): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}

/** Bytes as they are written in tables: `"cf f0 e8"`. */
export function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}
