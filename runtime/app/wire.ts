import type { ActionServices } from "../actions/action.ts";
import { runSource, type SourceOptions } from "../engine/rule_code.ts";
import { Runner } from "../engine/runner.ts";
import type { RunnerOptions } from "../engine/runner_options.ts";
import { type ProgramServices, programServices } from "../engine/services.ts";
import { type AttachmentOptions, Attachments } from "../folder/attachments.ts";
import { type Clock, systemClock } from "../host/clock.ts";
import { type Disk, realDisk } from "../host/disk.ts";
import type { LiveOutputs } from "../host/program_output.ts";
import type { RunFiles } from "../host/run_files.ts";
import type { CauseSigner } from "../ingest/cause.ts";
import { Ingest, type IngestOptions } from "../ingest/ingest.ts";
import { OwnEvents } from "../ingest/emit_own_events.ts";
import type { Json } from "../model/json.ts";
import type { Rule } from "../model/rule.ts";
import type { Receipt, Store } from "../store/store.ts";
import { triggerKinds } from "../triggers/index.ts";
import { type FormDesk, formPeople } from "../web/forms/sessions.ts";
import { HookRegistry } from "../web/hook_registry.ts";
import type { Isolates } from "../workers/workers.ts";
import type { Replica } from "./replica.ts";

/** The parts of the machine that tests replace. */
export interface Ports {
  clock: Clock;
  /** The disk that the data folder is on. */
  disk: Disk;
}

/** The real machine. */
export const SYSTEM_PORTS: Ports = { clock: systemClock, disk: realDisk };

/** The dependencies of the parts between an event and a step; the program and each test of a rule pass their own. */
export interface WiringPorts {
  store: Store;
  /** This program among those that share the store; absent if it has the store for itself. */
  replica?: Pick<Replica, "decides" | "share" | "sharing">;
  clock: Clock;
  isolates: Isolates;
  /** The rules folder, absolute. */
  folder: string;
  signer: CauseSigner;
  /** The files that steps save. */
  files: RunFiles;
  /** What running programs print; absent if nobody looks. */
  outputs?: LiveOutputs;
  desk: FormDesk;
  surroundings: IngestOptions["surroundings"];
  /** The environment of child processes, without secrets. */
  childEnv: () => Record<string, string>;
  secretOf: (name: string) => string | undefined;
  /** Masks secrets in what the program tells of itself. */
  maskJson: (value: Json) => Json;
  awaitsReply: ActionServices["awaitsReply"];
  connections: ActionServices["connections"];
  fleets: ActionServices["fleets"];
  traceHeaders?: ActionServices["traceHeaders"];
  /** Whether mail can be sent. */
  canMail: (services: ProgramServices) => boolean;
  /** The live rule with an id. */
  ruleOf: (id: string) => Rule;
  triggerLog: AttachmentOptions["log"];
  /** A trigger's last pass failed, with the reason, or worked again (null). */
  onReport: AttachmentOptions["report"];
  /** Called with the receipts of accepted events after they are on disk, before any of their runs start. */
  onAccepted: (receipts: Receipt[]) => void;
  runner: Pick<
    RunnerOptions,
    "owner" | "standIn" | "holds" | "maxRuns" | "random" | "onStep" | "onFinished" | "onReply" | "onError"
  >;
  /** Services instead of the program's own. */
  replaceServices?: (services: ProgramServices) => Partial<ProgramServices>;
  /** Replaces the source of a trigger; the path is the trigger's id. */
  sourceStandIn?: SourceOptions["standIn"];
}

/** The parts between an event and a step. */
export interface Wiring {
  hooks: HookRegistry;
  ingest: Ingest;
  ownEvents: OwnEvents;
  services: ProgramServices;
  attachments: Attachments;
  runner: Runner;
}

/** Makes the parts between a trigger and a step, and wires them together; nothing starts yet. */
export function wire(ports: WiringPorts): Wiring {
  const { store, replica, clock, isolates, folder, surroundings } = ports;
  const ingest = new Ingest({
    store,
    ...replica && { decides: () => replica.decides },
    clock,
    surroundings,
    executor: {
      lease: (most) => runner.lease(most),
      begin: (lease, claimed) => runner.begin(lease, claimed),
      take: (lease, claimed) => runner.take(lease, claimed),
    },
    onAccepted: (receipts) => {
      ports.onAccepted(receipts);
      startAccepted(runner, receipts);
    },
    full: {
      holds: () => ownEvents.since("full", STORE) !== undefined,
      begin: (reason) => ownEvents.begin("full", STORE, reason),
      end: () => ownEvents.end("full", STORE),
    },
  });
  const ownEvents: OwnEvents = new OwnEvents({ store, ingest, clock, maskJson: ports.maskJson });
  const own = programServices({ ...ports, ingest, ...replica && { share: () => replica.share } });
  const services = { ...own, ...ports.replaceServices?.(own) };
  const executing = { store, clock, isolates, folder, services, surroundings };
  const hooks = new HookRegistry();
  const attachments = new Attachments({
    kinds: triggerKinds,
    folder,
    clock,
    store,
    ingest,
    hooks,
    surroundings,
    execute(rule, trigger, source, input, signal, how) {
      const sourcing = { ...executing, standIn: ports.sourceStandIn };
      return runSource(sourcing, ports.ruleOf(rule), trigger, source, input, signal, how);
    },
    log: ports.triggerLog,
    report: ports.onReport,
  });
  const runner: Runner = new Runner({
    ...executing,
    ...ports.runner,
    ...replica && { shared: replica.sharing },
    surroundings,
    ...ports.files.isShared && { localize: (recorded) => ports.files.localize(recorded) },
    people: formPeople(ports.desk, clock, () => ports.canMail(services)),
  });
  return { hooks, ingest, ownEvents, services, attachments, runner };
}

/** What the condition of a full store is about. */
const STORE = { store: "data" };

/** Ends replaced runs, wakes runs whose wait has ended, and has the other new runs claimed. */
function startAccepted(runner: Runner, receipts: Receipt[]): void {
  for (const receipt of receipts) runner.replace(receipt);
  runner.woken(receipts.flatMap(({ wakes }) => wakes));
  if (receipts.some(({ runs, claimed = [] }) => runs.length > claimed.length)) runner.wake();
}
