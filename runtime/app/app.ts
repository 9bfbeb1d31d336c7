import { randomBytes } from "node:crypto";
import { env as environment } from "node:process";
import { writeAddress } from "../host/address_file.ts";
import { type Clock } from "../host/clock.ts";
import { logLine } from "../host/log_line.ts";
import { addressOf, serve, type Server } from "../host/serve.ts";
import { endChildren } from "../host/spawn.ts";
import { type Ports, SYSTEM_PORTS } from "./ports.ts";
import { type DataFolder, openDataFolder } from "./data_folder.ts";
import { type TriggerFailure, TriggerFailures } from "../folder/trigger_failures.ts";
import { Coalescer } from "../folder/watching/coalesce.ts";
import { scopeOf } from "../folder/folder.ts";
import type { Loaded } from "../folder/loaded.ts";
import type { Prebuilt } from "../folder/typescript/prebuilt.ts";
import { type Watch, watchFolder } from "../folder/watching/watch_folder.ts";
import type { Json } from "../model/json.ts";
import type { Run } from "../model/run.ts";
import type { Verdict } from "../model/verdict.ts";
import { type AppParts, assemble, retentionOf } from "./parts.ts";
import { Secrets } from "../secrets/secrets.ts";
import { answerForm } from "../engine/answer_form.ts";
import { logError, logReceipt, logRun, logVerdict, logWarning, triggerLog } from "../engine/run_log.ts";
import type { Receipt } from "../store/store.ts";
import { accessTo, tokenFault } from "../web/access.ts";
import { ReplyWaiters } from "../web/reply_waiters.ts";
import { createWeb, type Web } from "../web/web.ts";

/** What the program is started with. */
export interface AppOptions {
  /** The rules folder, absolute. */
  folder: string;
  /** The data folder, absolute. */
  data: string;
  /** Over `whenthen.yaml`; 0 takes a free port. */
  port?: number;
  host?: string;
  /** Name of the environment: `config.<env>.yaml` goes over `config.yaml`. */
  env?: string;
  /** TypeScript files of the folder that are bundled already. */
  prebuilt?: Prebuilt;
  /** What others than this machine's user must know. */
  token?: string;
  version: string;
}

/** How a pass of `whenthen once` went. */
export interface OnceReport {
  failedRuns: Run[];
  /** Triggers whose pass failed, with the reason. */
  failures: TriggerFailure[];
  /** Files of rules that do not load. */
  broken: string[];
}

/** How long requests and runs under way may take once it has been told to stop (promise 10). */
const DRAIN = 5_000;
/** Milliseconds for the answers of those who were waiting when that time was up. */
const LAST_ANSWERS = 500;
/** A run that is due this soon is waited for by `whenthen once`; a later one is suspended. */
const ONCE_PATIENCE = 60_000;
const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = 8080;

/**
 * Opens the data folder and wires the parts together; nothing moves before `start` or `once`.
 * @throws UsageError where another program holds the data folder
 */
export async function openApp(options: AppOptions, { clock, disk }: Ports = SYSTEM_PORTS): Promise<App> {
  const secrets = new Secrets({ environment, files: [], folders: [] });
  const dataFolder = await openDataFolder({ path: options.data, clock, disk, onWarning: logWarning });
  return new App(options, clock, secrets, dataFolder);
}

/** The program: load, attach, serve; on a signal stop intake, drain, close. */
export class App {
  readonly web: Web;
  readonly #parts: AppParts;
  readonly #replies = new ReplyWaiters();
  readonly #reloads: Coalescer;
  readonly #token = randomBytes(24).toString("base64url");
  readonly #failures = new TriggerFailures();
  /** Only in a pass: a program that runs for months would never let them go. */
  #failedRuns: Run[] | undefined;
  #phase: "starting" | "ready" | "draining" = "starting";
  /** The data folder was deleted or replaced: intake is closed, and all that is left to do is to stop. */
  readonly lost: Promise<void>;
  /** Milliseconds that runs have to come to an end when it stops. */
  #drain = DRAIN;
  #server: Server | undefined;
  #watch: Watch | undefined;

  constructor(
    private readonly options: AppOptions,
    private readonly clock: Clock,
    private readonly secrets: Secrets,
    private readonly dataFolder: DataFolder,
  ) {
    this.#reloads = new Coalescer(() => this.#reload(), clock);
    this.#parts = assemble(options, clock, secrets, dataFolder, {
      onAccepted: (receipts) => this.#accepted(receipts),
      onFinished: (run, verdict) => this.#finished(run, verdict),
      onReply: (event, reply) => this.#replies.answered(event, reply),
      awaitsReply: (event) => this.#replies.isAwaited(event),
      onLoaded: (loaded) => this.#prepare(loaded),
      onReport: (rule, trigger, failure) => this.#report(rule, trigger, failure),
      requestReload: () => this.#reloads.request(),
      address: () => this.#address(),
    });
    this.lost = dataFolder.lost.then((error) => this.#lose(error));
    // Commands that hold the data folder themselves ask in process, as from this machine.
    this.web = this.#createWeb(DEFAULT_HOST);
  }

  /** Loads the folder, attaches the triggers, goes on with the runs, serves. Resolves once it is ready. */
  async start(): Promise<void> {
    const { folder, data } = this.options;
    this.#watch = await watchFolder(
      folder,
      { clock: this.clock, ignore: scopeOf(folder, data).ignore, onWarning: logWarning },
      () => this.#reloads.request(),
    );
    await this.#begin();
    this.#server = this.#serve();
    await writeAddress(data, { url: this.#server.url, token: this.#token, folder });
    this.#phase = "ready";
    this.#parts.upkeep.start();
    // Behind the runner, which has the store turn its times back where the clock is set back: they go by these.
    this.#parts.ingest.batches.start((failure) => logWarning(`A batch could not be closed: ${failure}`));
    logLine("info", `Listening on ${this.#server.url}`, {});
  }

  /** One pass: polls each poller once, fires what cron owes, finishes or suspends all runs. What it reports is masked. */
  async once(): Promise<OnceReport> {
    const failedRuns: Run[] = this.#failedRuns = [];
    this.#parts.attachments.listenOnly();
    await this.#begin();
    this.#phase = "ready";
    await this.#parts.attachments.pass(this.#parts.live.rules);
    await this.#parts.ingest.batches.closeDue();
    await this.#parts.runner.settled(ONCE_PATIENCE);
    const broken = [...this.#parts.live.loaded!.broken.keys()];
    const report: OnceReport = { failedRuns, failures: this.#failures.list(this.#parts.live.rules), broken };
    return this.secrets.maskJson(report as unknown as Json) as unknown as OnceReport;
  }

  /** For a command that holds the data folder itself: events find their rules, but nothing polls, keeps time or runs. */
  async serveCommand(): Promise<void> {
    this.#parts.attachments.listenOnly();
    await this.#parts.runner.drain(0);
    await this.#begin();
  }

  /** Replaces the values of secrets by `***`. */
  mask(text: string): string {
    return this.secrets.mask(text);
  }

  /** See {@link DataFolder.isNew}. */
  isNew(): Promise<boolean> {
    return this.dataFolder.isNew();
  }

  /** Stops as told: intake first, then what is under way, within the drain; then everything is suspended and closed. */
  async stop(): Promise<void> {
    this.#phase = "draining";
    await Promise.all([
      this.#watch?.close(),
      this.#reloads.close(),
      this.#parts.upkeep.stop(),
      this.#parts.ingest.batches.stop(),
    ]);
    // Who still waits for a reply once nothing runs, or the time is up, is told that its event is taken in.
    const release = () => this.#replies.release();
    const cancelRelease = this.clock.after(this.#drain, release);
    const drained = this.#parts.runner.drain(this.#drain).then(release).finally(cancelRelease);
    await Promise.all([this.#parts.attachments.detachAll(), this.#server?.stop(this.#drain + LAST_ANSWERS), drained]);
    await endChildren();
    await this.#parts.loading.close();
    await this.dataFolder.close();
  }

  /** Nothing that runs do now can be recorded: they are not waited for. */
  #lose({ message }: Error): void {
    this.#phase = "draining";
    this.#drain = 0;
    logLine("error", `${message}: nothing is saved any more, so nothing is accepted, and it stops`, {});
  }

  async #begin(): Promise<void> {
    await this.dataFolder.begin();
    // A file may be saved meanwhile.
    await this.#reloads.alone(() => this.#reload());
    await this.#parts.runner.start();
  }

  async #reload(): Promise<void> {
    try {
      await this.#parts.live.reload();
      this.#watch?.outside(this.#parts.live.loaded!.outside);
      this.#parts.metrics.countReload();
    } catch (error) {
      // The rules in force stay; before the first load there are none to stay.
      if (this.#parts.live.loaded === undefined) throw error;
      logError("The reload failed; the rules stay as they were", error);
    }
  }

  #prepare({ settings, secretNames }: Loaded): void {
    // Before anything comes in; upkeep applies what a later reload changes, and drops at once what is above it.
    if (this.#parts.live.loaded === undefined) this.dataFolder.store.retain(retentionOf(settings));
    this.secrets.refresh({ environment, ...settings.secrets });
    this.secrets.use(secretNames);
    this.#parts.services.limits.setRates(settings.limits);
    this.#parts.services.mailer.setSmtp(settings.smtp);
  }

  #serve(): Server {
    const place = this.#place();
    const fault = tokenFault(this.options.token);
    if (fault !== undefined) logWarning(fault);
    const web = this.#createWeb(place.host);
    return serve((request, address) => web.fetch(request, address), place);
  }

  /** Where it listens, or would. */
  #place(): { host: string; port: number } {
    const { host, port } = this.#parts.live.loaded?.settings ?? {};
    return { host: this.options.host ?? host ?? DEFAULT_HOST, port: this.options.port ?? port ?? DEFAULT_PORT };
  }

  #address(): string {
    const { host, port } = this.#place();
    return this.#server?.url ?? addressOf(host, port);
  }

  #createWeb(host: string): Web {
    const { clock, secrets, dataFolder: { store, signer } } = this;
    return createWeb({
      ...accessTo(host, this.options.token, this.#token),
      version: this.options.version,
      clock,
      phase: () => this.#phase,
      hooks: this.#parts.hooks,
      rules: () => ({
        rules: this.#parts.live.rules,
        problems: this.#parts.live.loaded?.problems ?? [],
        broken: this.#parts.live.loaded?.broken ?? new Map(),
        paused: this.#parts.live.paused,
        failures: this.#failures.list(this.#parts.live.rules),
        longest: (rule) => this.#parts.meters.of(rule).longest,
      }),
      ingest: this.#parts.ingest,
      store,
      operators: this.#parts.operators,
      desk: this.#parts.desk,
      answerForm: (form, person, answer) =>
        answerForm({ store, clock, onWoken: (runs) => this.#parts.runner.woken(runs) }, form, person, answer),
      replies: this.#replies,
      verifyCause: (header) => signer.verify(header),
      secretOf: (name) => secrets.get(name),
      mask: (text) => secrets.mask(text),
      maskJson: (value) => secrets.maskJson(value),
      metrics: this.#parts.metrics,
      onError: logError,
    });
  }

  #accepted(receipts: Receipt[]): void {
    this.#parts.metrics.countReceipts(receipts);
    receipts.forEach(logReceipt);
  }

  #finished(run: Run, verdict: Verdict | undefined): void {
    if (verdict === undefined) logRun(run);
    else logVerdict(run.rule, run.event.id, verdict);
    if (run.state === "failed") this.#failedRuns?.push(run);
    this.#replies.ended(run.event, run);
  }

  #report(rule: string, trigger: string, failure: string | null): void {
    this.#failures.report(rule, trigger, failure);
    if (failure === null) return;
    this.#parts.metrics.countPollFailure(rule, trigger);
    triggerLog(rule, trigger).warn(`${trigger}: ${failure}`);
  }
}
