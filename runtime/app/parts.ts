import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { env as environment } from "node:process";
import type { ActionServices } from "../actions/action.ts";
import { Connections } from "../connections/connections.ts";
import { HookSecrets, type HookSecretsOptions } from "../connections/hook_secrets.ts";
import type { Clock } from "../host/clock.ts";
import { LiveOutputs } from "../host/program_output.ts";
import { logLine } from "../host/log_line.ts";
import { memoryBytes } from "../host/large_work.ts";
import { resolveObject } from "../language/expressions/template.ts";
import type { DataFolder } from "./data_folder.ts";
import type { IngestOptions } from "../ingest/ingest.ts";
import { LiveRules } from "../folder/live_rules.ts";
import type { Loaded, Settings } from "../folder/loaded.ts";
import { INVENTORY } from "../folder/fleet_inventory.ts";
import { SETTINGS_FILE } from "../folder/loader.ts";
import { type Loading, openLoading, withoutKey, withoutSecrets } from "../folder/open_folder.ts";
import { readSettings } from "../folder/settings/settings.ts";
import type { Prebuilt } from "../folder/typescript/typescript_files.ts";
import { parseYaml } from "../folder/yaml/yaml.ts";
import type { UpperValue } from "../model/config.ts";
import { newId } from "../model/id.ts";
import { Meters } from "../language/expressions/meter.ts";
import type { Secrets } from "../secrets/secrets.ts";
import { stepKinds } from "../engine/steps/index.ts";
import { logCode, logError, logWarning, triggerLog } from "../engine/run_log.ts";
import { runSource } from "../engine/rule_code.ts";
import { ProgramFleets } from "../fleet/program_fleets.ts";
import { ConfigReader } from "../engine/config_reader.ts";
import { CONFIG_SOURCE } from "../folder/settings/config_source.ts";
import { Operators } from "../engine/operators.ts";
import type { RunnerOptions } from "../engine/runner_options.ts";
import type { Retention } from "../store/store.ts";
import { Telemetry } from "../telemetry/telemetry.ts";
import { Upkeep } from "../store/upkeep.ts";
import type { Capped } from "../triggers/trigger.ts";
import { handshakePathOf } from "../triggers/webhook.ts";
import { type FormDesk, openDesk } from "../web/forms/sessions.ts";
import { buildFacts, Metrics } from "../web/metrics.ts";
import { wire, type Wiring } from "./wire.ts";

/** The parts of the program; `app.ts` starts and stops them. */
export interface AppParts extends Wiring {
  connections: Connections;
  hookSecrets: HookSecrets;
  loading: Loading;
  live: LiveRules;
  configSource: ConfigReader;
  operators: Operators;
  meters: Meters;
  metrics: Metrics;
  telemetry: Telemetry;
  upkeep: Upkeep;
  outputs: LiveOutputs;
  desk: FormDesk;
  fleets: ProgramFleets;
}

/** The callbacks from the parts to the program. */
export interface Callbacks {
  onAccepted: IngestOptions["onAccepted"];
  onFinished: NonNullable<RunnerOptions["onFinished"]>;
  onReply: NonNullable<RunnerOptions["onReply"]>;
  awaitsReply: ActionServices["awaitsReply"];
  onLoaded: (loaded: Loaded) => void;
  /** A trigger's last pass failed, with the reason, or worked again (null). */
  onReport: (rule: string, trigger: string, failure: string | null, capped?: Capped) => void;
  /** Something was late: the folder must be loaded again. */
  requestReload: () => void;
  /** Loads the folder now; resolves when the rules are in force. */
  reload: () => Promise<void>;
  /** The address under which people reach the program if the settings name none. */
  address: () => string;
}

/** Bytes that live state may take on disk: in memory it takes about three times as much. */
const MOST_LIVE = 256_000_000;

/** The retention of the store by the settings. Live state may take a share of the memory; the rest is for runs. */
export function retentionOf({ retention }: Settings): Retention {
  return { ...retention, live: Math.min(MOST_LIVE, Math.floor(memoryBytes() / 10)) };
}

/** Milliseconds that a reload waits for TypeScript rules that are slow to evaluate. */
const LOAD_TIMEOUT = 1_000;

/** Makes the parts and wires them together; nothing starts yet. */
export function assemble(
  options: { version: string; folder: string; data: string; env?: string; set?: UpperValue[]; prebuilt?: Prebuilt },
  clock: Clock,
  secrets: Secrets,
  { store, replica, signer, files, uploads, vault, hookVault, attemptVault, keyFor, noteSecretNames }: DataFolder,
  { onAccepted, onFinished, onReply, awaitsReply, onLoaded, onReport, requestReload, reload, address }: Callbacks,
): AppParts {
  const { folder } = options;
  const outside = { env: environment, secrets: secrets.scope() };
  const meters = new Meters(clock);
  const surroundings = (rule: string) => ({ ...outside, $meter: meters.of(rule) });
  const loading = openLoading({
    ...options,
    environment,
    stepKinds,
    now: clock.now,
    storeBytes: () => store.bytes(),
    onLog: logCode,
    secrets,
    loadTimeout: LOAD_TIMEOUT,
    onLate: requestReload,
    admit: (url, signal) => wiring.services.limits.admit(new URL(url), signal),
  });
  const { isolates, loader } = loading;
  const outputs = new LiveOutputs();
  const desk = openDesk({
    keyFor,
    people: () => live.loaded?.settings.people ?? [],
    address: () => live.loaded?.settings.url ?? address(),
    store,
    clock,
  });
  const sealing: Omit<HookSecretsOptions, "vault"> = {
    clock,
    secretOf: (name) => secrets.get(name),
    hide: (name, texts) => secrets.hide(name, texts),
    log: (level, message) => logLine(level, message, {}),
  };
  const hookSecrets = new HookSecrets({ ...sealing, vault: hookVault });
  const connections = new Connections({
    ...sealing,
    vault,
    attempts: attemptVault,
    plainOf: (name) => secrets.peek(name),
    address: () => desk.address(),
    onState(name, lost) {
      const { ownEvents } = wiring;
      if (lost === undefined) ownEvents.end("connection", { connection: name });
      else ownEvents.begin("connection", { connection: name }, lost, { connect: `whenthen connect ${name}` });
    },
  });
  const wiring = wire({
    store,
    ...replica && { replica },
    clock,
    isolates,
    folder,
    signer,
    desk,
    surroundings,
    files,
    outputs,
    childEnv: () => withoutSecrets(environment, secrets),
    secretOf: (name) => secrets.get(name),
    maskJson: (value) => secrets.maskJson(value),
    awaitsReply,
    connections,
    fleets: () => fleets,
    traceHeaders: (step) => telemetry.headersOf(step),
    canMail: ({ mailer }) => mailer.canMail(),
    ruleOf: (id) => live.rules.get(id)!,
    triggerLog,
    onReport,
    onAccepted,
    runner: {
      owner: replica?.members.me ?? newId(clock.now()),
      onFinished(run, verdict) {
        onFinished(run, verdict);
        if (verdict === undefined) telemetry.ended(run);
      },
      onReply,
      onStep({ kind, state, startedAt, endedAt = startedAt }, { rule }) {
        metrics.observeStep(rule, kind, state, endedAt - startedAt);
      },
      onError: logError,
    },
  });
  const { ingest, attachments, runner } = wiring;
  const live: LiveRules = new LiveRules({
    loader,
    store,
    ingest,
    attachments,
    async onLoaded(loaded) {
      await replica?.changeRules();
      onLoaded(loaded);
      uploads.most = loaded.settings.retention.bytes;
      await noteSecretNames(loaded.secretNames);
      await connections.set(loaded.settings.connections);
      if (hookVault.names().length > 0 || hasHandshakes(loaded)) await hookSecrets.readKey();
      meters.setRules(loaded.rules);
    },
    onFailure: onReport,
  });
  const metrics = new Metrics({
    store,
    ...replica && { replicas: replica.members },
    build: buildFacts(options.version),
    rules: () => ({ loaded: live.rules.size, broken: live.loaded?.broken.size ?? 0 }),
    isInForce: (rule) => live.startable.has(rule),
    fleets: { list: () => fleets.list() },
    workers: () => isolates.count(),
  });
  const telemetry = new Telemetry({
    env: environment,
    version: options.version,
    clock,
    store,
    metrics,
    mask: (text) => secrets.mask(text),
  });
  const executing = { store, clock, isolates, folder, services: wiring.services, surroundings };
  const fleets: ProgramFleets = new ProgramFleets({
    folder,
    store,
    clock,
    ...replica && { shared: replica.fleets },
    surroundings,
    secrets: withoutKey(secrets),
    env: () => withoutSecrets(environment, secrets),
    maskJson: (value) => secrets.maskJson(value),
    execute: ({ inventory }, source, input, signal) =>
      runSource(executing, inventory, INVENTORY, source, input, signal),
    async call({ id, inventory }, { call, with: given }, task, signal) {
      // Inputs that are passed on as they are may hold anything, also what looks like a template.
      const inputs = () => Object.fromEntries(Object.entries(task.inputs).filter(([, value]) => value !== null));
      const scope = { ...surroundings(id), ...task, $now: clock.now() };
      const values = given === undefined ? inputs() : resolveObject(given, scope);
      // A task has its own timeout.
      const how = { unlimited: `The call of ${call}` };
      return await runSource(executing, inventory, INVENTORY, { call, with: values }, {}, signal, how);
    },
    async run({ file }, command, timeout) {
      const { runPing } = await import("../fleet/ping_targets.ts");
      return await runPing(command, timeout, join(folder, dirname(file)), withoutSecrets(environment, secrets));
    },
    log: triggerLog,
    report: onReport,
    onSecret: (name) => void secrets.get(name),
    onLog: (fleet, level, message) => logCode(level, message, fleet),
    onFailure: logWarning,
  });
  const configSource = new ConfigReader({
    executing,
    store,
    clock,
    surroundings: () => outside,
    reload,
    report: (failure) => onReport(CONFIG_SOURCE.rule, CONFIG_SOURCE.trigger, failure),
    warn: logWarning,
  });
  const operators = new Operators({
    store,
    clock,
    live: {
      get rules() {
        return live.startable;
      },
      pause: (rule, reason) => live.pause(rule, reason),
    },
    runner,
  });
  const upkeep = new Upkeep({
    store,
    files,
    uploads,
    clock,
    retention: () => retentionOf(live.loaded!.settings),
    liveVersions: () => live.versions,
    ...replica && { knowsLiveVersions: () => replica.allHaveSameRules() },
    onError: logError,
  });
  const own = { connections, hookSecrets, loading, live, configSource, operators, meters, metrics, upkeep, fleets };
  return { ...wiring, ...own, telemetry, outputs, desk };
}

/**
 * Prepares listings of what is in the store, without loading the rules: what they print is masked by the names of secrets that the
 * rules used before.
 * @returns false if the rules must be loaded: these names are unknown, or config values come from a platform
 */
export async function prepareListings(
  { connections, hookSecrets }: Pick<AppParts, "connections" | "hookSecrets">,
  secrets: Secrets,
  { hookVault, secretNames, recordRules }: Pick<DataFolder, "hookVault" | "secretNames" | "recordRules">,
  folder: string,
): Promise<boolean> {
  const names = await secretNames();
  if (names === undefined) return false;
  const text = await readFile(join(folder, SETTINGS_FILE), "utf8").catch(() => undefined);
  const yaml = text === undefined ? undefined : parseYaml(text, SETTINGS_FILE);
  const { settings } = readSettings(yaml, folder, undefined);
  // Which values a run got from a platform is told by the config of the loaded rules.
  if (settings.config !== undefined) return false;
  secrets.refresh({ environment, ...settings.secrets });
  secrets.use(names);
  await recordRules();
  await connections.set(settings.connections);
  if (hookVault.names().length > 0) await hookSecrets.readKey();
  return true;
}

function hasHandshakes({ rules }: Loaded): boolean {
  return [...rules.values()].some(({ triggers }) => triggers.some((trigger) => handshakePathOf(trigger) !== undefined));
}
