import { randomBytes } from "node:crypto";
import { env as environment } from "node:process";
import { writeAddress } from "../host/private_file.ts";
import { type Clock } from "../host/clock.ts";
import { logLine } from "../host/log_line.ts";
import { addressOf, type Handler, serve, type Server } from "../host/serve.ts";
import { endChildren } from "../host/spawn.ts";
import { updateOwnEvents } from "../folder/live_rules.ts";
import type { DataFolder } from "./data_folder.ts";
import { Coalescer, type Watch, watchFolder } from "../folder/watch_folder.ts";
import { scopeOf } from "../folder/folder_files.ts";
import type { Loaded } from "../folder/loaded.ts";
import type { Run } from "../model/run.ts";
import type { Verdict } from "../model/event.ts";
import { type AppParts, assemble, prepareListings, retentionOf } from "./parts.ts";
import type { Secrets } from "../secrets/secrets.ts";
import { logError, logReceipt, logRun, logVerdict, logWarning } from "../engine/run_log.ts";
import type { Change } from "../store/shared_store.ts";
import type { Receipt } from "../store/store.ts";
import { accessTo, tokenFault } from "../web/access.ts";
import { type AppOptions, DEFAULT_HOST, DEFAULT_PORT } from "./app_options.ts";
import { Activity } from "../web/activity.ts";
import { ReplyWaiters } from "../web/reply_waiters.ts";
import { RefusedRequests } from "../web/refused_requests.ts";
import { callbackOnly, type Web } from "../web/web.ts";
import { webOf } from "./app_web.ts";
import { concernsRules } from "./replica.ts";
import { Reloads } from "./reloads.ts";
import { type OnceReport, TriggerReports } from "./trigger_reports.ts";

/** How long requests and runs under way may take after a signal to stop. */
const DRAIN = 5_000;
/** Milliseconds for the answers to requests that still waited when that time was over. */
const LAST_ANSWERS = 500;
/** `whenthen once` waits for runs that are due within this time; later ones are suspended. */
const ONCE_PATIENCE = 60_000;

/** The program: load, attach, serve; on a signal stop intake, drain, close. */
export class App {
  readonly web: Web;
  readonly #parts: AppParts;
  readonly #replies: ReplyWaiters;
  readonly #activity: Activity;
  readonly #refused: RefusedRequests;
  readonly #reloads: Reloads;
  /** Adopts what other replicas have changed; absent if there are none. */
  readonly #adoptions: Coalescer | undefined;
  /** Whether this program does what only one of several replicas may do. */
  #decides = true;
  readonly #token = randomBytes(24).toString("base64url");
  readonly #reports = new TriggerReports(() => this.#parts);
  /** Only kept during a pass: a program that runs for months would collect them without end. */
  #failedRuns: Run[] | undefined;
  #phase: "starting" | "ready" | "draining" = "starting";
  /** The data folder was deleted or replaced, or other replicas have gone on without this one: the program can only stop. */
  readonly lost: Promise<void>;
  readonly #started = Promise.withResolvers<void>();
  #isLost = false;
  /** Milliseconds that runs have to end when the program stops. */
  #drain = DRAIN;
  #server: Server | undefined;
  #watch: Watch | undefined;

  constructor(
    private readonly options: AppOptions,
    private readonly clock: Clock,
    private readonly secrets: Secrets,
    private readonly dataFolder: DataFolder,
  ) {
    this.#activity = new Activity(dataFolder.store, clock);
    this.#refused = new RefusedRequests(clock);
    const shared = dataFolder.replica && dataFolder.store;
    this.#replies = new ReplyWaiters(shared, (error) => logError("Cannot read the replies of other replicas", error));
    this.#reloads = new Reloads(() => this.#load(), clock);
    this.#adoptions = dataFolder.replica && new Coalescer(() => this.#adopt(), clock);
    this.#parts = assemble(options, clock, secrets, dataFolder, {
      onAccepted: (receipts) => this.#accepted(receipts),
      onFinished: (run, verdict) => this.#finished(run, verdict),
      onReply: (event, reply) => this.#replies.answered(event, reply),
      awaitsReply: (event, run) =>
        this.#replies.mayBeAwaited(event, run, this.#parts.live.rules.get(run.rule), clock.now()),
      onLoaded: (loaded) => this.#prepare(loaded),
      onReport: (rule, trigger, failure, capped) => this.#reports.report(rule, trigger, failure, capped),
      requestReload: () => this.#reloads.request(),
      reload: () => this.#reloads.now(),
      address: () => this.#address(),
    });
    this.lost = dataFolder.lost.then((error) => this.#lose(error));
    // Commands that hold the data folder themselves send their requests in process; they count as local.
    this.web = this.#createWeb(DEFAULT_HOST);
  }

  /** The data folder on this machine, absolute. */
  get data(): string {
    return this.options.data;
  }

  /** Whether other programs may share its state. */
  get isReplica(): boolean {
    return this.dataFolder.replica !== undefined;
  }

  /** Loads the folder, attaches the triggers, resumes the runs, serves. Resolves when it is ready. */
  async start(): Promise<void> {
    const { folder, data } = this.options;
    this.#watch = await watchFolder(
      folder,
      { clock: this.clock, ignore: scopeOf(folder, data).ignore, onWarning: logWarning },
      () => this.#reloads.request(),
    );
    await this.#parts.telemetry.start();
    this.#takePart();
    await this.#begin();
    if (this.#phase === "draining") return;
    const { url } = this.#server = await this.#serve();
    await writeAddress(data, { url, token: this.#token, folder });
    await this.dataFolder.replica?.noteAddress(url);
    // A replica may be stopped while it waits for others to decide.
    if (this.isReplica && this.#phase !== "starting") return;
    this.#phase = "ready";
    if (this.#decides) this.#keepTime();
    else this.#parts.fleets.start();
    logLine("info", `Listening on ${url}`, {});
    if (!this.#decides) logLine("info", "Another replica decides; this one follows", {});
    this.#started.resolve();
  }

  /** A replica that does not decide only listens; it takes over when the one that decides has ended. */
  #takePart(): void {
    const { replica } = this.dataFolder;
    if (replica === undefined) return;
    this.#decides = replica.decides;
    if (!this.#decides) this.#parts.attachments.follow();
    replica.start((change) => this.#changed(change), () => this.#takeOver());
  }

  /** Events match rules, but there are no polls, timers or fleets. */
  #listenOnly(): void {
    this.#parts.attachments.listenOnly();
    this.#parts.fleets.standAlone();
  }

  /** This replica decides from now on, so what only one may do is done by it. */
  async #takeOver(): Promise<void> {
    await this.#started.promise;
    if (this.#phase !== "ready") return;
    logLine("info", "This replica decides from now on", {});
    this.#parts.attachments.attachAll();
    await this.#decide();
    this.#keepTime();
  }

  async #decide(): Promise<void> {
    this.#decides = true;
    // Polls, timers and watches are attached by a load.
    await this.#reloads.untilLoaded();
    this.#parts.ownEvents.promote();
    this.#reportConditions();
    await this.#parts.runner.promote();
  }

  /** Starts what follows the clock. */
  #keepTime(): void {
    this.#parts.upkeep.start();
    this.#parts.configSource.start();
    this.#parts.fleets.start();
    // After the runner: when the clock is rolled back, the runner has the store correct its times, which batches depend on.
    this.#parts.ingest.batches.start((failure) => logWarning(`A batch could not be closed: ${failure}`));
  }

  /** Other replicas have changed the store. */
  #changed(change: Change): void {
    const { tables } = change;
    this.#parts.runner.changed(change);
    this.#parts.ownEvents.changed(tables);
    this.#parts.ingest.batches.changed(tables);
    this.#parts.fleets.changed(tables);
    this.#parts.attachments.changed(tables);
    this.#replies.changed(tables);
    if (concernsRules(tables)) this.#adoptions?.request();
  }

  async #adopt(): Promise<void> {
    try {
      await this.dataFolder.followChanges();
      if (this.#phase === "ready" && await this.#parts.live.adoptChanges()) this.#reloads.request();
    } catch (error) {
      if (!this.#isLost) logError("Cannot adopt what another replica has changed", error);
    }
  }

  /** One pass: polls each poller once, fires what cron owes, finishes or suspends all runs. What it reports is masked. @param onPhase called as each part of it begins */
  async once(onPhase: (phase: string) => void = () => {}): Promise<OnceReport> {
    onPhase("loading the rules");
    const failedRuns: Run[] = this.#failedRuns = [];
    this.#listenOnly();
    this.#takePart();
    await this.#parts.telemetry.start();
    await this.#begin();
    this.#phase = "ready";
    // The one that decided had ended.
    if (!this.#decides && this.dataFolder.replica?.decides) await this.#decide();
    // If another replica decides, it does all this, and here is only help with the runs.
    if (this.#decides) {
      await this.#parts.configSource.once();
      onPhase("polling, watching, firing what is due");
      await this.#parts.attachments.pass(this.#parts.live.rules);
      await this.#parts.ingest.batches.closeDue();
    }
    onPhase("waiting for the runs");
    await this.#parts.runner.settled(ONCE_PATIENCE);
    await this.#parts.ownEvents.settle();
    await this.#parts.runner.settled(ONCE_PATIENCE);
    const broken = [...this.#parts.live.loaded!.broken.keys()];
    const report: OnceReport = { failedRuns, failures: this.#reports.list(), broken };
    return this.secrets.maskJson(report);
  }

  /**
   * For a command that holds the data folder itself: events match rules, but there are no polls, timers or runs.
   * @param onlyStore the command lists what is in the store: if possible, no rules are loaded
   */
  async serveCommand({ onlyStore = false } = {}): Promise<void> {
    this.#listenOnly();
    this.#takePart();
    await this.#parts.runner.drain(0);
    const { secrets, dataFolder, options } = this;
    if (!onlyStore || !await prepareListings(this.#parts, secrets, dataFolder, options.folder)) await this.#begin();
    else dataFolder.replica?.begin();
  }

  /**
   * For a command that holds the data folder itself: serves the page to which an authorization server sends a person back, and nothing
   * else, until the program stops.
   */
  serveCallback(): void {
    this.#server = serve(callbackOnly(this.web), this.#place());
  }

  /** Replaces the values of secrets by `***`. */
  mask(text: string): string {
    return this.secrets.mask(text);
  }

  /** See {@link DataFolder.isNew}. */
  isNew(): Promise<boolean> {
    return this.dataFolder.isNew();
  }

  /** Stops: first intake, then it waits for work in progress up to the drain time, then it suspends and closes everything. */
  async stop(): Promise<void> {
    this.#phase = "draining";
    this.#started.resolve();
    const { replica } = this.dataFolder;
    const lastChanges = (...work: (Promise<unknown> | undefined)[]) => {
      const all = Promise.all(work);
      return replica?.lastChanges(all) ?? all;
    };
    await replica?.stop();
    const { connections, configSource, upkeep, ingest, attachments, runner, fleets, ownEvents } = this.#parts;
    await Promise.all([
      this.#watch?.close(),
      this.#reloads.close(),
      lastChanges(configSource.stop(), this.#adoptions?.close(), upkeep.stop()),
      lastChanges(ingest.batches.stop(), connections.stop()),
    ]);
    // Requests that still wait for a reply when nothing runs any more, or the time is over, are answered that their event was accepted.
    const release = () => this.#replies.release();
    const cancelRelease = this.clock.after(this.#drain, release);
    const drained = runner.drain(this.#drain).then(release).finally(cancelRelease);
    await Promise.all([
      lastChanges(attachments.detachAll()),
      this.#stopServing(this.#drain + LAST_ANSWERS),
      drained,
    ]);
    await fleets.stop();
    await lastChanges(ownEvents.stop());
    await connections.settled(this.#drain);
    await endChildren();
    await this.#parts.telemetry.stop();
    await this.#parts.loading.close();
    await this.dataFolder.close();
  }

  #stopServing(grace: number): Promise<void> | undefined {
    const [{ kept }, server] = [this.options, this.#server];
    return server && this.#isLost && kept ? kept.keep(server, this.#place(), grace) : server?.stop(grace);
  }

  /** Results of runs can no longer be recorded, so nothing waits for them. */
  #lose({ message }: Error): void {
    this.#phase = "draining";
    this.#isLost = true;
    this.#drain = 0;
    const next = this.options.kept
      ? "it begins anew as another replica, and answers 503 until then"
      : "no events are accepted, and the program stops";
    logLine(this.options.kept ? "warn" : "error", `${message}: nothing can be saved any more, so ${next}`, {});
  }

  async #begin(): Promise<void> {
    await this.dataFolder.begin();
    // A file may be saved meanwhile.
    await this.#reloads.now();
    this.dataFolder.replica?.begin();
    const decides = this.#decides;
    const onLate = (failure: string) => logWarning(`An event of the program itself is late: ${failure}`);
    await this.#parts.ownEvents.start(onLate, { decides });
    if (decides) this.#reportConditions();
    await this.#parts.runner.start({ decides });
  }

  /** Some of the conditions from before the last end may be over. */
  #reportConditions(): void {
    updateOwnEvents(this.#parts.live.loaded!, this.#parts.ownEvents);
    this.#parts.connections.reportStates();
  }

  /** @throws if it fails: the rules in force stay in force */
  async #load(): Promise<void> {
    try {
      await this.#parts.live.reload();
      this.#watch?.outside(this.#parts.live.loaded!.outside);
      if (this.#decides) updateOwnEvents(this.#parts.live.loaded!, this.#parts.ownEvents);
      this.#parts.configSource.use(this.#parts.live.loaded!.configSource);
      this.#parts.fleets.use(this.#parts.live.loaded!);
      this.#parts.metrics.countReload();
    } catch (error) {
      // Before the first load there are no rules.
      if (this.#parts.live.loaded !== undefined) logError("The reload failed; the rules stay as they were", error);
      throw error;
    } finally {
      this.dataFolder.replica?.noteRules(this.#parts.live.startable);
    }
  }

  #prepare({ settings, secretNames }: Loaded): void {
    // Before the first event. Upkeep applies what a later reload changes, and at once removes what exceeds it.
    if (this.#parts.live.loaded === undefined) this.dataFolder.store.retain(retentionOf(settings));
    this.secrets.refresh({ environment, ...settings.secrets });
    this.secrets.use(secretNames);
    this.#parts.services.limits.setRates(settings.limits);
    this.#parts.services.mailer.setSmtp(settings.smtp);
  }

  async #serve(): Promise<Server> {
    const place = this.#place();
    const fault = tokenFault(this.options.token);
    if (fault !== undefined) logWarning(fault);
    const web = this.#createWeb(place.host);
    const handler: Handler = (request, address) => web.fetch(request, address);
    return await (this.options.kept?.serve(handler, place) ?? serve(handler, place));
  }

  /** The address that it listens on, or would listen on. */
  #place(): { host: string; port: number } {
    const { host, port } = this.#parts.live.loaded?.settings ?? {};
    return { host: this.options.host ?? host ?? DEFAULT_HOST, port: this.options.port ?? port ?? DEFAULT_PORT };
  }

  #address(): string {
    const { host, port } = this.#place();
    return this.#server?.url ?? addressOf(host, port);
  }

  #createWeb(host: string): Web {
    const { options, clock, secrets, dataFolder } = this;
    return webOf({
      ...accessTo(host, options.token, this.#token),
      options,
      clock,
      secrets,
      dataFolder,
      parts: this.#parts,
      replies: this.#replies,
      activity: this.#activity,
      refused: this.#refused,
      phase: () => this.#phase,
      failures: () => this.#reports.list(),
      reload: () => this.#reloads.now().then(() => this.#parts.live.loaded!),
    });
  }

  #accepted(receipts: Receipt[]): void {
    this.#parts.metrics.countReceipts(receipts);
    receipts.forEach(logReceipt);
  }

  #finished(run: Run, verdict: Verdict | undefined): void {
    if (verdict === undefined) {
      logRun(run);
      this.#activity.ended(run);
    } else {
      logVerdict(run.rule, run.event.id, verdict);
    }
    if (run.state === "failed") this.#failedRuns?.push(run);
    this.#replies.ended(run.event, run);
  }
}
