import { Buffer } from "node:buffer";
import type { Clock } from "../host/clock.ts";
import { TerminalError } from "../model/errors.ts";
import { readExactJson, writeExactJson, writeRecordJson } from "../formats/exact_json.ts";
import type { Json } from "../model/json.ts";
import { isFinalStep, MAX_OUTPUT, type Run, type StepRecord } from "../model/run.ts";
import type { StepEffects, Store } from "../store/store.ts";
import { Interruption } from "./outcome.ts";
import type { RunnerOptions } from "./runner_options.ts";

/** The records of one run's steps, in memory and in the store. */
export class Records {
  readonly #records = new Map<string, StepRecord>();
  /** When the first record of a step, or of a step inside it, was begun. */
  readonly #begun = new Map<string, number>();
  /** The paths of the records inside a step, in the order of their creation. */
  #inside: Map<string, string[]> | undefined;
  readonly #asked = new Set<string>();
  /**
   * Texts that would let a reader of a trace impersonate somebody, such as signed links, each with the text that is
   * recorded instead.
   */
  #hidden: Map<string, string> | undefined;
  /** Branches that lost. Like others here, this collection is made when it is needed: most runs have no branches. */
  #cancelled: Set<string> | undefined;
  #endedRun = false;

  constructor(
    private readonly run: Run,
    private readonly earlier: StepRecord[],
    private readonly store: Pick<Store, "recordStep">,
    private readonly clock: Clock,
    private readonly listeners: Pick<RunnerOptions, "onReply" | "onStep">,
  ) {
    for (const step of earlier) this.#set(step);
  }

  get(path: string): StepRecord | undefined {
    this.#asked.add(path);
    return this.#records.get(path);
  }

  /** The record of an ended step. A step with others inside has an open record only while an operator has it retried. */
  ended(path: string): StepRecord | undefined {
    const record = this.get(path);
    return record !== undefined && isFinalStep(record.state) ? record : undefined;
  }

  list(): StepRecord[] {
    return [...this.#records.values()];
  }

  /** The records of the steps inside one. */
  below(path: string): StepRecord[] {
    return this.#inside?.get(path)?.map((inside) => this.#records.get(inside)!) ?? [];
  }

  /** Whether the step or one inside it has a record: decisions about it stand. */
  isBegun(path: string): boolean {
    return this.#begun.has(path);
  }

  /** When the first record of the step, or of one inside it, was begun; undefined if there is none. */
  begunAt(path: string): number | undefined {
    return this.#begun.get(path);
  }

  hasLost(path: string): boolean {
    return this.#cancelled?.has(path) || this.#records.get(path)?.state === "cancelled";
  }

  /** Whether the run has ended with the record of its last step. */
  get endedRun(): boolean {
    return this.#endedRun;
  }

  /** Paths that this execution of the run has asked for. */
  get asked(): string[] {
    return [...this.#asked];
  }

  /** Paths that earlier executions recorded. */
  get recorded(): string[] {
    return this.earlier.map(({ path }) => path);
  }

  /**
   * Paths that earlier executions recorded and this one has not asked for. The steps inside an ended step belong to it.
   */
  unasked(): string[] {
    const isOver = (path: string) => {
      const record = this.#asked.has(path) ? this.#records.get(path) : undefined;
      return record !== undefined && isFinalStep(record.state) && record.kind !== "if";
    };
    return this.recorded.filter((path) => !this.#asked.has(path) && !pathsAround(path).some(isOver));
  }

  /** From now on `shown` is recorded instead of `text`. */
  hide(text: string, shown: string): void {
    (this.#hidden ??= new Map()).set(text, shown);
  }

  /**
   * Takes over what the store has changed: waits that it has ended (nothing else ends a step from outside), and the
   * times of open steps that it changed after a clock rollback.
   * @returns the paths of those that changed
   */
  refresh(steps: StepRecord[]): Set<string> {
    const changed = new Set<string>();
    for (const step of steps) {
      const known = this.#records.get(step.path);
      const isChanged = isFinalStep(step.state)
        ? known === undefined || known.state === "waiting"
        : known !== undefined && !isFinalStep(known.state) && !isSame(step, known);
      if (!isChanged) continue;
      changed.add(step.path);
      this.#set(step);
    }
    return changed;
  }

  /** Whether these are the same steps, except for waits that have ended: if so, the run can continue in memory. */
  canResumeWith(steps: StepRecord[]): boolean {
    return steps.length === this.#records.size && steps.every(({ path, state }) => {
      const known = this.#records.get(path)?.state;
      return known === state || (known === "waiting" && isFinalStep(state));
    });
  }

  /**
   * Writes a record; resolves when it is on disk.
   * @returns the record as stored, the same in this execution of the run as in later ones: a wait may have ended
   * meanwhile
   * @throws Interruption if the run has ended, or its branch has lost: a late result is dropped
   */
  async write(record: StepRecord, effects: StepEffects = {}): Promise<StepRecord> {
    if (
      this.#cancelled && [record.path, ...pathsAround(record.path)].some((path) => this.#cancelled!.has(path))
    ) {
      throw new Interruption("cancelled", `Step "${record.path}" came too late: its branch has lost`);
    }
    // From here on, a losing branch's write reaches the store only after this one.
    for (const branch of effects.cancels ?? []) (this.#cancelled ??= new Set()).add(branch);
    const shown = this.#withoutHidden(record);
    const result = await this.store.recordStep(this.run.id, shown, effects, this.clock.now());
    if (result.dropped) throw new Interruption("cancelled", "The run had ended before");
    this.#endedRun ||= result.ended === true;
    const stored = this.#keep(result.record);
    if (record.endedAt !== undefined) this.listeners.onStep?.(stored, this.run);
    if (effects.reply === undefined) return stored;
    const { source, id } = this.run.event;
    if (result.replied !== false) {
      this.listeners.onReply?.({ source, id }, effects.reply, this.run.id);
      return stored;
    }
    const output = { sent: false, reason: "the event has been replied to before; the first reply counts" };
    return await this.write({ ...stored, output });
  }

  #withoutHidden(record: StepRecord): StepRecord {
    if (this.#hidden === undefined) return record;
    let text = writeRecordJson(record);
    for (const [hidden, shown] of this.#hidden) text = text.replaceAll(hidden, () => shown);
    return readExactJson(text) as StepRecord;
  }

  /** A wait that {@link refresh} saw ended, before the write of its beginning returned, stays ended. */
  #keep(record: StepRecord): StepRecord {
    const known = this.#records.get(record.path);
    if (record.state === "waiting" && known !== undefined && isFinalStep(known.state)) return known;
    this.#set(record);
    return record;
  }

  #set(record: StepRecord): void {
    const around = pathsAround(record.path);
    if (!this.#records.has(record.path)) { for (const path of around) this.#addInside(path, record.path); }
    this.#records.set(record.path, record);
    for (const path of [record.path, ...around]) {
      const earliest = this.#begun.get(path) ?? Infinity;
      if (record.startedAt < earliest) this.#begun.set(path, record.startedAt);
    }
  }

  #addInside(path: string, inside: string): void {
    const lists = this.#inside ??= new Map();
    const known = lists.get(path);
    if (known) known.push(inside);
    else lists.set(path, [inside]);
  }
}

/** Whether an open step has not changed. */
function isSame(one: StepRecord, other: StepRecord): boolean {
  return one.state === other.state && one.due === other.due && one.startedAt === other.startedAt;
}

/** The paths above a path: `lines[3]/save` is in `lines[3]`, which is in `lines`. */
function pathsAround(path: string): string[] {
  const around: string[] = [];
  // Most steps are in no other.
  if (!/[/[]/.test(path)) return around;
  for (let end = path.length - 1; end > 0; end--) {
    if (path[end] === "/" || path[end] === "[") around.push(path.slice(0, end));
  }
  return around;
}

/** @throws TerminalError if the result is larger than the limit */
export function checkSize(path: string, output: Json): void {
  const size = sizeAsJson(output);
  if (size <= MAX_OUTPUT) return;
  throw new TerminalError(
    `Cannot keep the result of step "${path}": it has ${size} bytes, at most ${MAX_OUTPUT} are kept; return less, or write it to a file and return its path`,
  );
}

/** @throws TerminalError if the arguments are larger than the limit */
export function checkInput(path: string, input: Json): void {
  const size = sizeAsJson(input);
  if (size <= MAX_OUTPUT) return;
  throw new TerminalError(
    `Cannot keep the arguments of step "${path}": they have ${size} bytes, at most ${MAX_OUTPUT} are kept; pass less, or the path of a file`,
  );
}

/** Bytes of a value as JSON. */
export function sizeAsJson(value: Json): number {
  return Buffer.byteLength(writeExactJson(value));
}
