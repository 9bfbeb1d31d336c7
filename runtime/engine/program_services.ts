import type { ActionServices } from "../actions/action.ts";
import { Mailer } from "../actions/mail/mailer.ts";
import { RequestLimits } from "../actions/request_limits.ts";
import type { Clock } from "../host/clock.ts";
import { logLine } from "../host/log_line.ts";
import { causeOf, type CauseSigner } from "../ingest/cause.ts";
import type { Ingest } from "../ingest/ingest.ts";

/** What the program offers to the actions of all rules, in runs and in polls. */
export interface ProgramServices extends Omit<ActionServices, "getState" | "callModule"> {
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
    childEnv: () => Record<string, string>;
    secretOf: (name: string) => string | undefined;
    awaitsReply: ActionServices["awaitsReply"];
  },
): ProgramServices {
  const { clock, ingest, signer, childEnv, secretOf, awaitsReply } = options;
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
    admitRequest: (url, signal) => limits.admit(url, signal),
  };
}
