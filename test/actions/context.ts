import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { ActionContext, ActionServices } from "../../runtime/actions/action.ts";
import { noDisk } from "../../runtime/host/disk.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";

/** A context as the engine makes it; calls of its services are in `asked`. */
export function makeContext(
  changes: Partial<Omit<ActionContext, "services">> & { services?: Partial<ActionServices> } = {},
): ActionContext & { asked: { service: string; with: unknown }[] } {
  const asked: { service: string; with: unknown }[] = [];
  const services: ActionServices = {
    emit(event) {
      asked.push({ service: "emit", with: event });
      const identity = { source: "/rules/test", id: event.id };
      return Promise.resolve({
        event: identity,
        delivery: "accepted",
        verdicts: [],
        runs: [],
        replaces: [],
        wakes: [],
      });
    },
    log: (level, message, details) => void asked.push({ service: "log", with: { level, message, details } }),
    causeHeader: (run) => `1.${run.id}.signed`,
    childEnv: () => ({ PATH: process.env.PATH ?? "" }),
    getState: () => Promise.resolve(undefined),
    callModule(call): Promise<Json> {
      asked.push({ service: "callModule", with: call });
      return Promise.resolve({ called: call.name ?? "" });
    },
    sendMail(mail) {
      asked.push({ service: "sendMail", with: mail });
      return Promise.resolve({
        messageId: `<${mail.id}@test>`,
        accepted: mail.to.map(({ address }) => address),
        rejected: [],
      });
    },
    createFile: (file) => new RunFiles("/files", noDisk).create(file),
    readFile: (file) => new RunFiles("/files", noDisk).read(file),
    runFolder: (run) => new RunFiles("/files", noDisk).folderOf(run),
    keepFiles: () => Promise.resolve(),
    privateFolder: () => mkdtemp(join(tmpdir(), "whenthen-private-")),
    secretOf: () => undefined,
    connections: { token: (name) => Promise.resolve(`token of ${name}`) },
    patched: () => {
      throw new Error("no poll started this run");
    },
    fleets: () => {
      throw new Error("there are no fleets");
    },
    admitRequest(url) {
      asked.push({ service: "admitRequest", with: url.href });
      return Promise.resolve();
    },
    awaitsReply: () => true,
    ...changes.services,
  };
  const event = { id: "e1", source: "/test", type: "test", time: "2026-11-21T07:00:00Z", data: {} as JsonObject };
  const base = {
    run: { id: "r1", rule: "test", trigger: "in", event },
    path: "step",
    parts: { read: () => [], add: () => Promise.resolve() },
    attempt: 1,
    signal: new AbortController().signal,
    folder: tmpdir(),
    ruleFolder: tmpdir(),
  };
  return { ...base, ...changes, services, asked };
}
