/**
 * A worker of a fleet: evaluates the platform, and keeps sessions with devices until it is ended.
 *
 * @module
 */
import type { ClientRequest } from "node:http";
import type { Socket } from "node:net";
import process from "node:process";
import { setImmediate } from "node:timers";
import { offerDeno, openCodeWorkerPort } from "../host/code_worker_port.ts";
import { messageOf } from "../model/errors.ts";
import { definitionOf } from "../sdk/source.ts";
import { exportsOf } from "../workers/module_exports.ts";
import { UserCode } from "../workers/user_code.ts";
import { installGlobals, secretsView, watchForCrashes } from "../workers/worker_globals.ts";
import type { Edge, FleetSetup, FromFleetThread, PingTarget, TaskEnd, ToFleetThread } from "./messages.ts";
import { type Platform, Sessions } from "./sessions.ts";
import { TICK } from "./wheel.ts";

const port = await openCodeWorkerPort();
const setup = port.data as FleetSetup;
const send = (message: FromFleetThread) => port.post(message);
const code = setup.platform && new UserCode(setup.platform.code);
/** The continuation of each program that pings. */
const runs = new Map<number, (error: string | null) => void>();
let lastRun = 0;
let edges: Edge[] = [];
let ended: TaskEnd[] = [];
let isFlushing = false;
let isClosing = false;
/** When the wheel is turned next. */
let planned = Infinity;
let timer: ReturnType<typeof setTimeout> | undefined;
/** The least milliseconds between two turns. Each wakes the thread up, and timers due in between fire together. */
const PAUSE = { least: 10, most: 50 };
const BUILT_IN_PINGS = {
  tcp: (target: PingTarget, signal: AbortSignal) => pingTcp(String(target), signal),
  http: (target: PingTarget, signal: AbortSignal) => pingHttp(String(target), signal),
  run: runPing,
};

installGlobals((level, message) => send({ type: "log", level, message: code?.translate(message) ?? message }));
watchForCrashes(reportCrash);
const sessions = await open();
if (sessions !== undefined) {
  port.onMessage((message) => receive(sessions, message as ToFleetThread));
  send({ type: "ready" });
}

async function open(): Promise<Sessions | undefined> {
  try {
    const { by } = setup.settings.ping ?? {};
    return new Sessions({
      platform: await loadPlatform(),
      settings: setup.settings,
      surroundings: {
        env: Object.freeze({ ...process.env }),
        secrets: secretsView(setup.secrets, (name) => send({ type: "secret", name })),
      },
      ...by !== undefined && { builtIn: BUILT_IN_PINGS[by] },
      mark: setup.platform === undefined ? () => {} : (index) => port.mark(index),
      onEdge(edge) {
        if (edges.push(edge) === 1) wakeAt(performance.now() + TICK);
      },
      onTimer: wakeAt,
      onEnded(end) {
        ended.push(end);
        // At once, not at the next tick: the main thread sends the next task after the end of this one.
        if (!isFlushing) setImmediate(flushEnded);
        isFlushing = true;
      },
    });
  } catch (error) {
    send({ type: "unusable", error: code?.translate(messageOf(error)) ?? messageOf(error) });
  }
}

async function loadPlatform(): Promise<Platform> {
  if (code === undefined || setup.platform === undefined) return {};
  if (setup.platform.code.includes("Deno")) await offerDeno();
  const exports = exportsOf(await import(code.url));
  const definition = definitionOf(exports[setup.platform.name]);
  if (definition?.kind !== "device") throw new Error(`${setup.platform.file} exports no device({ … })`);
  return definition.spec as Platform;
}

function receive(sessions: Sessions, message: ToFleetThread): void {
  switch (message.type) {
    case "settings":
      return sessions.set(message.settings);
    case "init":
      return message.devices.forEach((device) => sessions.init(device));
    case "update":
      return message.devices.forEach((device) => sessions.update(device));
    case "stop":
      return message.indexes.forEach((index) => sessions.stop(index));
    case "tasks":
      return message.tasks.forEach((task) => sessions.run(task));
    case "abort":
      return message.tasks.forEach((id) => sessions.abortTask(id));
    case "ran":
      runs.get(message.run)?.(message.error);
      runs.delete(message.run);
      return;
    case "ask":
      return void sendFacts(sessions, message);
    case "alive":
      return send({ type: "alive" });
    case "close":
      isClosing = true;
      sessions.stopAll();
      return wakeAt(performance.now());
  }
}

async function sendFacts(
  sessions: Sessions,
  { request, indexes, info }: Extract<ToFleetThread, { type: "ask" }>,
): Promise<void> {
  const devices = await Promise.all(indexes.map((index) => sessions.factsOf(index, info)));
  send({ type: "facts", request, devices });
}

/** Turns the wheel when something is due, and sends the changes since the last turn. */
function wakeAt(at: number): void {
  if (sessions === undefined || at >= planned) return;
  clearTimeout(timer);
  planned = at;
  timer = setTimeout(turn, Math.max(0, at - performance.now()), sessions);
}

function turn(sessions: Sessions): void {
  sessions.paused(performance.now() - planned);
  planned = Infinity;
  const behind = sessions.turn();
  if (edges.length > 0) {
    send({ type: "edges", edges });
    edges = [];
  }
  if (isClosing && sessions.size === 0) {
    isClosing = false;
    send({ type: "closed" });
  }
  const now = performance.now();
  wakeAt(behind > 0 ? now : Math.max(sessions.next() ?? Infinity, now + pauseOf(sessions)));
}

/** A hundredth of the time between two pings, so that these are on time. */
function pauseOf({ settings: { ping } }: Sessions): number {
  return Math.min(PAUSE.most, Math.max(PAUSE.least, (ping?.every[0] ?? 0) / 100));
}

function flushEnded(): void {
  isFlushing = false;
  send({ type: "ended", tasks: ended });
  ended = [];
}

function runPing(command: PingTarget): Promise<void> {
  const run = ++lastRun;
  return new Promise((resolve, reject) => {
    runs.set(run, (error) => error === null ? resolve() : reject(new Error(error)));
    send({ type: "run", run, command, timeout: sessions?.settings.ping?.timeout ?? 0 });
  });
}

/** Logs an error that no call awaits, as in a listener of a socket. If it broke a session, the next ping of its device fails. */
function reportCrash(thrown: unknown): void {
  const { stack = "", message } = thrown instanceof Error ? thrown : new Error(String(thrown));
  const places = code?.frames(stack).map(({ text }) => text).join("\n") ?? "";
  send({ type: "log", level: "error", message: `an error that nothing awaits: ${message}\n${places}`.trimEnd() });
}

/** Loaded on first use: in each worker of the binary these modules take some MB. */
const builtin = process.getBuiltinModule;

/** Connects, and disconnects at once. @param target `host:port`; an IPv6 address may be in brackets */
function pingTcp(target: string, signal: AbortSignal): Promise<void> {
  const at = target.lastIndexOf(":");
  const host = target.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  const port = Number(target.slice(at + 1));
  if (host === "" || !(port > 0 && port < 65_536)) {
    return Promise.reject(new Error(`Cannot ping ${JSON.stringify(target)}: expected host:port`));
  }
  return ping(signal, (end) => builtin("node:net").connect({ host, port }).on("connect", () => end()));
}

/**
 * Requests a URL with sockets of its own: in Bun, `fetch` has 256 slots for the whole process, and devices that do not answer
 * would take all of them.
 */
function pingHttp(target: string, signal: AbortSignal): Promise<void> {
  const [, method = "GET", address = ""] = /^(?:([A-Z]+) +)?(.*)$/.exec(target) ?? [];
  if (!URL.canParse(address)) return Promise.reject(new Error(`Cannot ping ${JSON.stringify(target)}: expected a URL`));
  const url = new URL(address);
  return ping(signal, (end) => {
    const { request } = builtin(url.protocol === "https:" ? "node:https" : "node:http");
    const sent = request(url, { method, agent: false, headers: { connection: "close" } }, (response) => {
      const { statusCode = 0 } = response;
      response.on("error", () => {});
      end(statusCode < 400 ? undefined : new Error(`${method} ${address} was answered with status ${statusCode}`));
    });
    return sent.end();
  });
}

/** Connects by `begin`, which calls `end` when the device has answered. Disconnects at the end, at an error and at an abort. */
function ping(
  signal: AbortSignal,
  begin: (end: (error?: Error) => void) => Socket | ClientRequest,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error?: Error) => {
      signal.removeEventListener("abort", abort);
      connection.destroy();
      if (error) reject(error);
      else resolve();
    };
    const abort = () => end(new Error("aborted"));
    const connection = begin(end);
    // Also after the end: an error without a listener would end the worker.
    connection.on("error", end);
    signal.addEventListener("abort", abort);
  });
}
