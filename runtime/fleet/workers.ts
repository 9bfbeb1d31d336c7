import type { Fleet } from "../model/fleet.ts";
import type { LogLevel } from "../workers/messages.ts";
import { FleetWorker, type FleetWorkerOptions } from "./fleet_worker.ts";
import type { PingTarget, SessionSettings } from "./messages.ts";

/** Options of `Workers`. */
export interface WorkersOptions {
  fleet: Fleet;
  /** All secrets that a platform may ask for, by name. */
  secrets: () => Record<string, string>;
  env: () => Record<string, string>;
  /** Runs a program that pings; resolves to the reason of its failure, or null. */
  run: (fleet: Fleet, command: PingTarget, timeout: number) => Promise<string | null>;
  onSecret: (name: string) => void;
  onLog: (fleet: string, level: LogLevel, message: string) => void;
  /** Milliseconds without an answer after which platform code counts as blocked. @default 10_000 */
  blockedAfter?: number;
  /** Milliseconds that the end of a session may take. @default 60_000 */
  stopTimeout?: number;
  /** The most sessions of one worker. @default 5_000; more if devices have no sessions */
  mostSessions?: number;
}

/** The callbacks of {@link FleetWorker} to the fleet. */
type Callbacks<Device> = Pick<FleetWorkerOptions<Device>, "onEdges" | "onGone" | "onUnusable">;

const MOST_SESSIONS = 5_000;
/** Of devices without `init`: there is only their place on the wheel. */
const MOST_PINGED = 200_000;
/** Milliseconds that all sessions have to end when the program stops. */
const CLOSE_TIMEOUT = 6_000;

/** The workers of one fleet: one for each 5,000 sessions. */
export class Workers<Device> {
  #workers: FleetWorker<Device>[] = [];
  /** Those with an older platform, until their last session has ended. */
  readonly #old = new Set<FleetWorker<Device>>();
  #fleet: Fleet;

  constructor(private readonly options: WorkersOptions & Callbacks<Device>) {
    this.#fleet = options.fleet;
  }

  get count(): number {
    return this.#workers.length + this.#old.size;
  }

  /** Takes a changed fleet. @param isOther whether sessions begin anew, in other workers */
  use(fleet: Fleet, isOther: boolean): void {
    this.#fleet = fleet;
    if (isOther) {
      for (const worker of this.#workers) {
        worker.isOld = true;
        this.#old.add(worker);
      }
      this.#workers = [];
      for (const worker of this.#old) this.retire(worker);
    } else for (const worker of this.#workers) worker.set(this.#settings());
  }

  /** A worker that takes one more session. */
  withRoom(): FleetWorker<Device> {
    const { mostSessions = this.#fleet.platform?.methods.includes("init") ? MOST_SESSIONS : MOST_PINGED } =
      this.options;
    const found = this.#workers.find(({ size }) => size < mostSessions);
    if (found !== undefined) return found;
    const worker = this.#start();
    this.#workers.push(worker);
    return worker;
  }

  /** Ends a worker with an older platform whose last session has ended. */
  retire(worker: FleetWorker<Device>): void {
    if (worker.size > 0 || !this.#old.delete(worker)) return;
    void worker.end();
  }

  /** Ends all sessions, then the workers. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers, ...this.#old].map((worker) => worker.close(CLOSE_TIMEOUT)));
  }

  #start(): FleetWorker<Device> {
    const { secrets, env, run, onSecret, onLog, onEdges, onGone, onUnusable, blockedAfter = 10_000 } = this.options;
    const fleet = this.#fleet;
    const { id, platform } = fleet;
    return new FleetWorker<Device>({
      setup: {
        fleet: id,
        ...platform && { platform: { file: platform.file, code: platform.code, name: platform.name } },
        secrets: platform ? secrets() : {},
        settings: this.#settings(),
      },
      env: env(),
      blockedAfter,
      run: (command, timeout) => run(fleet, command, timeout),
      onSecret,
      onLog: (level, message) => onLog(id, level, message),
      onEdges,
      onGone: (worker, reason, culprit) => {
        this.#forget(worker);
        onGone(worker, reason, culprit);
      },
      onUnusable: (worker, error) => {
        this.#forget(worker);
        onUnusable(worker, error);
      },
    });
  }

  #forget(worker: FleetWorker<Device>): void {
    this.#workers = this.#workers.filter((each) => each !== worker);
    this.#old.delete(worker);
  }

  #settings(): SessionSettings {
    const { ping, init } = this.#fleet;
    return {
      ...ping && {
        ping: { every: ping.every, timeout: ping.timeout, down: ping.down, ...ping.by && { by: ping.by.kind } },
      },
      initTimeout: init.timeout,
      stopTimeout: this.options.stopTimeout ?? 60_000,
    };
  }
}
