import { dirname, join } from "node:path";
import { type Clock, sleepUntil } from "../host/clock.ts";
import { sourceOf } from "../folder/attachments.ts";
import { INVENTORY } from "../folder/fleet_inventory.ts";
import type { Scope } from "../language/expressions/expression.ts";
import { resolveArgs } from "../language/expressions/template.ts";
import { messageOf } from "../model/errors.ts";
import type { Fleet, FleetFiles } from "../model/fleet.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Progress, Store } from "../store/store.ts";
import { triggerKinds } from "../triggers/index.ts";
import type { PollArgs } from "../triggers/poll/poll_args.ts";
import { pollOnce, readPollMark } from "../triggers/poll/poll_pass.ts";
import {
  type Capped,
  type Detach,
  readBaseline,
  type TriggerContext,
  type TriggerKind,
  type TriggerLog,
} from "../triggers/trigger.ts";
import { SLOW_PASS, watchPattern } from "../triggers/watch.ts";
import { keepGoing } from "../triggers/timetable.ts";
import { InventoryFiles } from "./inventory_files.ts";

/** Options of `Inventory`. */
export interface InventoryOptions {
  /** The rules folder, absolute. */
  folder: string;
  clock: Clock;
  store: TriggerContext["store"] & Pick<Store, "changeDevices">;
  surroundings: (fleet: string) => Scope;
  /** Runs a step as the source of the fleet's poll. */
  execute: (fleet: Fleet, source: JsonObject, input: JsonObject, signal: AbortSignal) => Promise<Json>;
  log: (fleet: string, trigger: string) => TriggerLog;
  report: (fleet: string, trigger: string, failure: string | null, capped?: Capped) => void;
}

/** Changes of an inventory. */
export interface InventoryChange {
  /** New and changed devices. */
  put: [name: string, item: Json][];
  removed: string[];
}

/** Milliseconds that a fleet waits for the first poll of its inventory. Then it begins with the devices that it knew. */
const FIRST_LOOK = 10_000;
/** The source of an inventory that is a list, or files, instead of a poll. */
const LIST: JsonObject = { call: "#list" };

/**
 * The devices of a fleet: its list, its files or its poll, compared with the devices that were known before. These are the
 * baseline of a trigger, so that neither an inventory that cannot be read nor a restart removes a device.
 */
export class Inventory {
  readonly #stop = new AbortController();
  readonly #looked = Promise.withResolvers<void>();
  #detach: Detach = () => {};
  /** Names read so far while the baseline is rebuilt. At its end, all other devices are removed. */
  #anew: Set<string> | undefined;
  /** Which devices the last poll left out. */
  warning: string | null = null;
  failure: string | null = null;

  constructor(
    private fleet: Fleet,
    private readonly options: InventoryOptions,
    /** The names that are known. */
    private readonly known: () => Iterable<string>,
    /** Stores a change with its progress, then applies it. */
    private readonly onChange: (change: InventoryChange, progress: Progress) => Promise<void>,
  ) {}

  /** The devices that were known when the program ended, in pages. */
  baseline(): AsyncGenerator<Map<string, Json>> {
    return readBaseline(this.#context({}));
  }

  get #ruleFolder(): string {
    return join(this.options.folder, dirname(this.fleet.file));
  }

  /** Applies a changed file with the same inventory. */
  use(fleet: Fleet): void {
    this.fleet = fleet;
  }

  /** Begins to poll. Resolves after the first poll, if one is due, but not later than {@link FIRST_LOOK}. */
  async attach(): Promise<void> {
    const { list, files } = this.fleet;
    if (list !== undefined) return await this.#compare(list);
    const isDue = files !== undefined || await this.#isPollDue();
    const detach = files === undefined ? await this.#poll() : this.#watch(files);
    if (this.#stop.signal.aborted) return await detach();
    this.#detach = detach;
    if (!isDue) return;
    const cancel = this.options.clock.after(FIRST_LOOK, this.#looked.resolve);
    await this.#looked.promise;
    cancel();
  }

  /** Polls once, if that is due. */
  async look(): Promise<void> {
    const { list, files } = this.fleet;
    try {
      if (list !== undefined) await this.#compare(list);
      else if (files !== undefined) await this.#readSettled(files);
      else if (await this.#isPollDue()) {
        const { kind, context } = this.#trigger();
        await kind.pass?.(context);
      }
    } catch (error) {
      this.#report(messageOf(error));
    }
  }

  /** Waits until the files have settled. @throws Error if they are written all the time */
  async #readSettled(args: FleetFiles): Promise<void> {
    const { clock } = this.options;
    const files = new InventoryFiles(args, this.#ruleFolder);
    const end = clock.now() + 3 * args.settle;
    for (;;) {
      const read = await files.read(clock.now());
      if ("items" in read) return await this.#compare(read.items);
      if (read.again > end) throw new Error(`${args.watch} is written all the time, so its devices are not read`);
      await sleepUntil(clock, read.again, this.#stop.signal);
    }
  }

  async #poll(): Promise<Detach> {
    const { kind, context } = this.#trigger();
    return await kind.attach(context);
  }

  #watch(args: FleetFiles): Detach {
    const files = new InventoryFiles(args, this.#ruleFolder);
    const context = this.#context({});
    const loop = keepGoing(context, () => this.#readFiles(files));
    const close = watchPattern(files.pattern, this.options.clock, {
      onChange: loop.wake,
      onReady: loop.wake,
      onError: (error) => context.log.warn(`${args.watch} is checked only once a minute: ${messageOf(error)}`),
    });
    return async () => {
      await Promise.all([close(), loop.detach()]);
    };
  }

  /** @returns when to look again */
  async #readFiles(files: InventoryFiles): Promise<number> {
    const { clock } = this.options;
    const read = await files.read(clock.now());
    if ("again" in read) return read.again;
    await this.#compare(read.items);
    return clock.now() + SLOW_PASS;
  }

  #trigger(): { kind: TriggerKind; context: TriggerContext } {
    const [trigger] = this.fleet.inventory.triggers;
    const kind = triggerKinds[trigger.kind];
    const { surroundings, clock } = this.options;
    const scope = { ...surroundings(this.fleet.id), config: {}, $now: clock.now() };
    return { kind, context: this.#context(resolveArgs(kind, trigger.args, scope)) };
  }

  async #isPollDue(): Promise<boolean> {
    const { context } = this.#trigger();
    const mark = await readPollMark(context);
    return mark === undefined || Date.parse(mark.polled) + Number(context.args.every) <= this.options.clock.now();
  }

  /** Ends polling. Resolves when no poll is in progress. */
  async detach(): Promise<void> {
    this.#stop.abort();
    this.#looked.resolve();
    await this.#detach();
  }

  async #compare(items: Json[]): Promise<void> {
    this.warning = null;
    const { key, files } = this.fleet;
    const max = files?.max ?? Infinity;
    const args: PollArgs = { poll: LIST, key, every: 0, on: ["removed"], first: "emit", max };
    try {
      await pollOnce(this.#context(args, () => Promise.resolve(items)));
      this.#report(null);
    } catch (error) {
      this.#report(messageOf(error));
    }
  }

  #context<Arguments>(args: Arguments, execute?: () => Promise<Json>): TriggerContext<Arguments> {
    const { fleet, options: { folder, clock, store, surroundings } } = this;
    const log = this.options.log(fleet.id, INVENTORY);
    const [trigger] = fleet.inventory.triggers;
    return {
      rule: { id: fleet.id, file: fleet.file },
      trigger: { id: INVENTORY, at: fleet.at },
      args,
      folder,
      ruleFolder: this.#ruleFolder,
      clock,
      startedAt: clock.now(),
      store,
      signal: this.#stop.signal,
      once: false,
      meter: surroundings(fleet.id).$meter,
      holds: () => Promise.resolve(true),
      ingest: async (_events, progress) => {
        if (progress !== undefined) await this.#take(progress);
        return [];
      },
      source: trigger && sourceOf(fleet.inventory, trigger),
      execute: execute ?? ((source, input, signal) => {
        this.warning = null;
        return this.options.execute(this.fleet, source, input, signal);
      }),
      hooks: { add: () => () => {} },
      subscriptions: { add: () => () => {} },
      log: {
        info: log.info,
        warn: (message, details) => {
          this.warning = message;
          log.warn(message, details);
        },
      },
      report: (failure, capped) => this.#report(failure, capped),
    };
  }

  #report(failure: string | null, capped?: Capped): void {
    this.failure = failure;
    this.#looked.resolve();
    this.options.report(this.fleet.id, INVENTORY, failure, capped);
  }

  async #take(progress: Omit<Progress, "rule" | "trigger">): Promise<void> {
    const { baseline, mark } = progress;
    const put = baseline?.put ?? [];
    let removed = baseline?.remove ?? [];
    if (baseline?.clear) this.#anew = new Set();
    for (const [name] of put) this.#anew?.add(name);
    const isLast = !(isObject(mark) && mark.seeding === true);
    if (this.#anew !== undefined && isLast) {
      const present = this.#anew;
      removed = [...this.known()].filter((name) => !present.has(name));
      this.#anew = undefined;
    }
    await this.onChange({ put, removed }, { rule: this.fleet.id, trigger: INVENTORY, ...progress });
  }
}
