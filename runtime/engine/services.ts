import type { ActionServices } from "../actions/action.ts";
import { RequestLimits } from "../actions/http/send.ts";
import { Mailer } from "../actions/mail/mailer.ts";
import type { Clock } from "../host/clock.ts";
import { logLine } from "../host/log_line.ts";
import type { LiveOutputs } from "../host/live_outputs.ts";
import type { RunFiles } from "../host/run_files.ts";
import type { CauseSigner } from "../ingest/cause.ts";
import type { Ingest } from "../ingest/ingest.ts";
import { causeOf } from "../model/event.ts";
import type { Rule } from "../model/rule.ts";
import { callCode } from "./call_code.ts";
import { patchedSource } from "./patched_source.ts";
import type { RunnerOptions } from "./runner_options.ts";

/** What the actions of one rule version can reach: the program's services, its memory and its own modules. */
export function servicesFor(
  rule: Rule,
  options: Pick<RunnerOptions, "services" | "store" | "isolates" | "clock" | "surroundings" | "standIn">,
): ActionServices {
  const { services, store, isolates, clock } = options;
  return {
    ...services,
    getState: async (key) => {
      const found = await store.getState([key], clock.now());
      // A key may have the name of a property that every object has: constructor.
      return Object.hasOwn(found, key) ? found[key] : undefined;
    },
    callModule: (call, context) => callCode(rule, call, { isolates, clock }, context),
    patched: (context) => patchedSource(rule, options, context),
  };
}

/** What the program offers to the actions of all rules, in runs and in polls. */
export interface ProgramServices extends Omit<ActionServices, "getState" | "callModule" | "patched"> {
  /** Requests per destination host, from `whenthen.yaml`. */
  limits: RequestLimits;
  /** Uses `smtp` of `whenthen.yaml`. */
  mailer: Mailer;
}

/**
 * @param childEnv the environment that children inherit: without secrets
 * @param secretOf the value of a secret, by name
 */
export function programServices(
  options: {
    clock: Clock;
    ingest: Ingest;
    signer: CauseSigner;
    files: RunFiles;
    outputs?: LiveOutputs;
    childEnv: () => Record<string, string>;
    secretOf: (name: string) => string | undefined;
    awaitsReply: ActionServices["awaitsReply"];
    connections: ActionServices["connections"];
    fleets: ActionServices["fleets"];
  },
): ProgramServices {
  const { clock, ingest, signer, files, outputs, childEnv, secretOf, awaitsReply, connections, fleets } = options;
  const limits = new RequestLimits(clock);
  const mailer = new Mailer(secretOf);
  return {
    limits,
    mailer,
    childEnv,
    awaitsReply,
    log: logLine,
    emit: (event, run) => ingest.publish({ ...event, source: `/rules/${run.rule}`, cause: causeOf(run) }),
    causeHeader: (run) => signer.sign(causeOf(run)),
    sendMail: (mail, signal) => mailer.send(mail, signal),
    createFile: (file) => files.create(file),
    runFolder: (run) => files.folderOf(run),
    privateFolder: () => files.privateFolder(),
    ...outputs && { showOutput: (run, step, charset) => outputs.open(run, step, charset) },
    secretOf,
    connections,
    fleets,
    admitRequest: (url, signal) => limits.admit(url, signal),
  };
}
