import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { answerForm } from "../engine/form_answers.ts";
import { logError } from "../engine/run_log.ts";
import type { TriggerFailure } from "../folder/attachments.ts";
import type { Loaded } from "../folder/loaded.ts";
import { setConfig } from "../folder/settings/config_layers.ts";
import type { Clock } from "../host/clock.ts";
import { logLine } from "../host/log_line.ts";
import type { Secrets } from "../secrets/secrets.ts";
import type { accessTo } from "../web/access.ts";
import type { Activity } from "../web/activity.ts";
import type { RefusedRequests } from "../web/refused_requests.ts";
import type { ReplyWaiters } from "../web/reply_waiters.ts";
import { createWeb, type Web } from "../web/web.ts";
import type { WebContext } from "../web/context.ts";
import type { AppOptions } from "./app_options.ts";
import type { DataFolder } from "./data_folder.ts";
import type { AppParts } from "./parts.ts";

/** What the pages, the API and the hooks of the program show and change. */
export interface WebSources extends ReturnType<typeof accessTo>, Pick<WebContext, "phase"> {
  options: AppOptions;
  clock: Clock;
  secrets: Secrets;
  dataFolder: DataFolder;
  parts: AppParts;
  replies: ReplyWaiters;
  activity: Activity;
  refused: RefusedRequests;
  /** Triggers whose last pass failed. */
  failures: () => TriggerFailure[];
  /** Loads the folder now. */
  reload: () => Promise<Loaded>;
}

/** What answers the requests to the program. */
export function webOf({ options, dataFolder, parts, failures, reload, ...sources }: WebSources): Web {
  const { clock, secrets } = sources;
  const { store, signer, files, uploads, replica } = dataFolder;
  const { live, connections } = parts;
  const onWoken = (runs: string[]) => parts.runner.woken(runs);
  return createWeb({
    ...sources,
    ...parts,
    version: options.version,
    store,
    uploads,
    ...replica && { replicas: replica.members },
    rules: () => ({
      rules: live.rules,
      startable: live.startable,
      commands: live.loaded?.commands ?? new Map(),
      get problems() {
        return [...live.loaded?.problems ?? [], ...connections.problems()];
      },
      broken: live.loaded?.broken ?? new Map(),
      configs: live.loaded?.configs ?? new Map(),
      paused: live.paused,
      get failures() {
        return failures();
      },
      longest: (rule) => parts.meters.of(rule).longest,
    }),
    answerForm: (form, person, answer) => answerForm({ store, files, clock, onWoken }, form, person, answer),
    setConfig(rule, setting) {
      const configs = live.loaded?.configs ?? new Map();
      const log = (message: string) => logLine("info", message, { rule });
      return setConfig({ clock, store, configs, log, reload }, rule, setting);
    },
    verifyCause: (header) => signer.verify(header),
    secretOf: (name) => secrets.get(name),
    mask: (text) => secrets.mask(text),
    maskJson: (value) => secrets.maskJson(value),
    readRuleFile: (file) => readFile(join(options.folder, file), "utf8").catch(() => undefined),
    onError: logError,
  });
}
