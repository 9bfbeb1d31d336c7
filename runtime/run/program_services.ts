import type { ActionServices } from "../action/action.ts";
import { RequestLimits } from "../action/request_limits.ts";
import type { Clock } from "../host/clock.ts";
import { logLine } from "../host/log.ts";
import { causeOf, type CauseSigner } from "../ingest/cause.ts";
import type { Ingest } from "../ingest/ingest.ts";

/** What the program offers to the actions of all rules, in runs and in polls. */
export interface ProgramServices extends Omit<ActionServices, "getState" | "callModule"> {
  /** Requests per destination host, as `whenthen.yaml` says. */
  limits: RequestLimits;
}

/**
 * @param childEnv the environment that children inherit: without secrets
 */
export function programServices(
  options: { clock: Clock; ingest: Ingest; signer: CauseSigner; childEnv: () => Record<string, string> },
): ProgramServices {
  const { clock, ingest, signer, childEnv } = options;
  const limits = new RequestLimits(clock);
  return {
    limits,
    childEnv,
    log: logLine,
    emit: (event, run) => ingest.publish({ ...event, source: `/rules/${run.rule}`, cause: causeOf(run) }),
    causeHeader: (run) => signer.sign(causeOf(run)),
    admitRequest: (url, signal) => limits.admit(url, signal),
  };
}
