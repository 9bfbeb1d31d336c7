import { Buffer } from "node:buffer";
import type { Clock } from "../host/clock.ts";
import { TerminalError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import type { Run, StepRecord } from "../model/run.ts";
import type { StepEffects, Store } from "../store/store.ts";
import { Interruption } from "./interruption.ts";
import type { RunnerOptions } from "./runner_options.ts";

/** Bytes of JSON that one step may give. A larger result fails the step: cutting it would hand wrong data to later steps. */
export const MAX_OUTPUT = 1_000_000;
/** Bytes of JSON that are kept of what a step was asked to do; only people read it, so a larger one is cut. */
export const MAX_INPUT = 64_000;

/** What is recorded of one run's steps, in memory and in the store. */
export class Records {
  readonly #records = new Map<string, StepRecord>();

  constructor(
    private readonly run: Run,
    steps: StepRecord[],
    private readonly store: Pick<Store, "recordStep">,
    private readonly clock: Clock,
    private readonly told: Pick<RunnerOptions, "onReply" | "onStep">,
  ) {
    for (const step of steps) this.#records.set(step.path, step);
  }

  get(path: string): StepRecord | undefined {
    return this.#records.get(path);
  }

  list(): StepRecord[] {
    return [...this.#records.values()];
  }

  /** Whether the step or one inside it has a record: what was decided about it stands. */
  isBegun(path: string): boolean {
    return this.#records.has(path) || this.list().some((record) => record.path.startsWith(`${path}/`));
  }

  /** Takes over the waits that the store has ended meanwhile: nothing else ends a step from outside. */
  refresh(steps: StepRecord[]): void {
    for (const step of steps.filter(hasEnded)) {
      const known = this.#records.get(step.path);
      if (known === undefined || known.state === "waiting") this.#records.set(step.path, step);
    }
  }

  /**
   * Writes a record; resolves when it is on disk.
   * @returns the record as stored: secrets masked, the same in this life of the run as in any later one
   * @throws Interruption where the run has ended: a late result is dropped
   */
  async write(record: StepRecord, effects: StepEffects = {}): Promise<StepRecord> {
    const bounded = record.input === undefined ? record : { ...record, input: cut(record.input) };
    const result = await this.store.recordStep(this.run.id, bounded, effects, this.clock.now());
    if (result.dropped) throw new Interruption("cancelled", "The run had ended before");
    const stored = this.#keep(result.record);
    if (record.endedAt !== undefined) this.told.onStep?.(stored);
    if (effects.reply === undefined) return stored;
    const { source, id } = this.run.event;
    if (result.replied !== false) {
      this.told.onReply?.({ source, id }, effects.reply, this.run.id);
      return stored;
    }
    const output = { sent: false, reason: "the event has been replied to before; the first reply stands" };
    return await this.write({ ...stored, output });
  }

  /** A wait that {@link refresh} saw ended before its own beginning was told stays ended. */
  #keep(record: StepRecord): StepRecord {
    const known = this.#records.get(record.path);
    if (record.state === "waiting" && known !== undefined && hasEnded(known)) return known;
    this.#records.set(record.path, record);
    return record;
  }
}

/** Whether a step is over: it is never computed again. */
export function hasEnded({ state }: StepRecord): boolean {
  return state !== "retrying" && state !== "waiting";
}

/** @throws TerminalError where the result is larger than may be kept */
export function checkSize(path: string, output: Json): void {
  const size = Buffer.byteLength(JSON.stringify(output));
  if (size <= MAX_OUTPUT) return;
  throw new TerminalError(
    `Cannot keep the result of step "${path}": it has ${size} bytes, at most ${MAX_OUTPUT} are kept; have the step give less, or write it to a file`,
  );
}

function cut(input: Json): Json {
  const text = JSON.stringify(input);
  return text.length <= MAX_INPUT ? input : { cut: text.slice(0, MAX_INPUT), bytes: Buffer.byteLength(text) };
}
