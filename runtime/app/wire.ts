import type { ActionServices } from "../actions/action.ts";
import { type ProgramServices, programServices } from "../engine/program_services.ts";
import { Runner } from "../engine/runner.ts";
import type { RunnerOptions } from "../engine/runner_options.ts";
import { performSource } from "../engine/source.ts";
import { type AttachmentOptions, Attachments } from "../folder/attachments.ts";
import type { Clock } from "../host/clock.ts";
import type { CauseSigner } from "../ingest/cause.ts";
import { Ingest, type IngestOptions } from "../ingest/ingest.ts";
import type { Rule } from "../model/rule.ts";
import type { Receipt, Store } from "../store/store.ts";
import { triggerKinds } from "../triggers/index.ts";
import { type FormDesk, formPeople } from "../web/forms/desk.ts";
import { HookRegistry } from "../web/hook_registry.ts";
import type { Isolates } from "../workers/workers.ts";

/** What the way from an event to a step is wired to: by the program, and by each test of a rule. */
export interface WiringPorts {
  store: Store;
  clock: Clock;
  isolates: Isolates;
  /** The rules folder, absolute. */
  folder: string;
  signer: CauseSigner;
  desk: FormDesk;
  surroundings: IngestOptions["surroundings"];
  /** The environment of children: without secrets. */
  childEnv: () => Record<string, string>;
  secretOf: (name: string) => string | undefined;
  awaitsReply: ActionServices["awaitsReply"];
  /** Whether mail can be sent. */
  canMail: (services: ProgramServices) => boolean;
  /** A rule that triggers are attached for. */
  ruleOf: (id: string) => Rule;
  triggerLog: AttachmentOptions["log"];
  /** A trigger's last pass failed, with the reason, or worked again (null). */
  onReport: AttachmentOptions["report"];
  /** Called with what was taken in, once it is on disk, before anything of it runs. */
  onAccepted: (receipts: Receipt[]) => void;
  runner: Pick<
    RunnerOptions,
    "owner" | "standIn" | "holds" | "maxRuns" | "random" | "onStep" | "onFinished" | "onReply" | "onError"
  >;
  /** Services instead of the program's own. */
  replaceServices?: (services: ProgramServices) => Partial<ProgramServices>;
  /** What answers instead of the source of a trigger, whose id is the path. */
  sourceStandIn?: RunnerOptions["standIn"];
}

/** The way from an event to a step. */
export interface Wiring {
  hooks: HookRegistry;
  ingest: Ingest;
  services: ProgramServices;
  attachments: Attachments;
  runner: Runner;
}

/** Makes the parts between a trigger and a step, and wires them together; nothing moves yet. */
export function wire(ports: WiringPorts): Wiring {
  const { store, clock, isolates, folder, surroundings, signer, childEnv, secretOf, awaitsReply } = ports;
  const ingest = new Ingest({
    store,
    clock,
    surroundings,
    performer: {
      lease: (most) => runner.lease(most),
      take: (lease, claimed) => runner.take(lease, claimed),
    },
    onAccepted: (receipts) => {
      ports.onAccepted(receipts);
      startAccepted(runner, receipts);
    },
  });
  const own = programServices({ clock, ingest, signer, childEnv, secretOf, awaitsReply });
  const services = { ...own, ...ports.replaceServices?.(own) };
  const performing = { store, clock, isolates, folder, services };
  const hooks = new HookRegistry();
  const attachments = new Attachments({
    kinds: triggerKinds,
    folder,
    clock,
    store,
    ingest,
    hooks,
    surroundings,
    perform(rule, trigger, source, input, signal) {
      const sourcing = { ...performing, standIn: ports.sourceStandIn };
      return performSource(sourcing, ports.ruleOf(rule), trigger, source, input, signal);
    },
    log: ports.triggerLog,
    report: ports.onReport,
  });
  const runner: Runner = new Runner({
    ...performing,
    ...ports.runner,
    surroundings,
    people: formPeople(ports.desk, clock, () => ports.canMail(services)),
  });
  return { hooks, ingest, services, attachments, runner };
}

/** Ends the runs that others replace, wakes those whose wait has ended, and has claimed what was not claimed with its event. */
function startAccepted(runner: Runner, receipts: Receipt[]): void {
  runner.replace(receipts.flatMap(({ replaces }) => replaces));
  runner.woken(receipts.flatMap(({ wakes }) => wakes));
  if (receipts.some(({ runs, claimed = [] }) => runs.length > claimed.length)) runner.wake();
}
