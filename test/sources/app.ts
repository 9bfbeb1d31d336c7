import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { until } from "../e2e/until.ts";
import type { App } from "../../runtime/app/app.ts";
import { openApp } from "../../runtime/app/open_app.ts";

/** JSON of any shape, as a test reads it. */
// deno-lint-ignore no-explicit-any
export type Answered = any;

/** A rules folder, and the real program in this process. */
export class Folder implements AsyncDisposable {
  private constructor(readonly root: string) {}

  static async with(files: Record<string, string>): Promise<Folder> {
    const folder = new Folder(await realpath(await mkdtemp(join(tmpdir(), "whenthen-sources-"))));
    await folder.write(files);
    return folder;
  }

  get rules(): string {
    return join(this.root, "rules");
  }

  async write(files: Record<string, string>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(this.rules, path)), { recursive: true });
      await writeFile(join(this.rules, path), text, { mode: 0o600 });
    }
  }

  /** The program, not started. */
  open(): Promise<App> {
    return openApp({ folder: this.rules, data: join(this.root, "data"), port: 0, version: "test" });
  }

  /** One pass, as `whenthen once` makes it, with what came of it: the outputs of all runs, oldest first, and failures. */
  async once(): Promise<{ outputs: Answered[]; failures: string[]; failed: string[]; broken: string[] }> {
    const app = await this.open();
    try {
      const report = await app.once();
      const runs = await ask(app, "/api/runs?limit=500");
      const outputs = runs.toReversed().map(({ output }: Answered) => output);
      const failed = report.failedRuns.map(({ error }) => error?.message ?? "");
      return { outputs, failures: report.failures.map(({ message }) => message), failed, broken: report.broken };
    } finally {
      await app.stop();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

/** The answer of the program's API. */
export async function ask(app: App, path: string): Promise<Answered> {
  const request = new Request(`http://127.0.0.1:8080${path}`, { headers: { host: "127.0.0.1:8080" } });
  return await (await app.web.fetch(request, () => "127.0.0.1")).json();
}

/** A real server; what it answers is set by the test. */
export class Peer implements AsyncDisposable {
  readonly requests: IncomingMessage[] = [];
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void = (_, response) =>
    void response.end("{}");
  readonly #server = createServer((request, response) => {
    this.requests.push(request);
    let body = "";
    request.setEncoding("utf8").on("data", (text) => body += text);
    request.on("end", () => this.answer(request, response, body));
  });

  static async start(): Promise<Peer> {
    const peer = new Peer();
    await new Promise<void>((resolve) => peer.#server.listen(0, "127.0.0.1", resolve));
    return peer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Resolves when a condition holds. */
export async function holds(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  await until(what, async () => await condition(), (seen) => seen);
}

/** Answers with JSON. */
export function json(
  response: ServerResponse,
  value: unknown,
  status = 200,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
}

/** An installed package with these files, and its version. */
export function installed(name: string, files: Record<string, string>, version = "1.2.3"): Record<string, string> {
  const folder = `node_modules/${name}`;
  const [main] = Object.keys(files);
  const manifest = JSON.stringify({ name, version, type: "module", exports: `./${main}` });
  return {
    [`${folder}/package.json`]: manifest,
    ...Object.fromEntries(Object.entries(files).map(([path, text]) => [`${folder}/${path}`, text])),
  };
}
