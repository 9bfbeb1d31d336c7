import { join } from "node:path";
import { History, type HistoryOptions } from "../../../runtime/store/history/history.ts";
import type { Catalogue } from "../../../runtime/store/ledger/tables.ts";
import type { EventHeader, MoreHeader, RunHeader } from "../../../runtime/store/history/history_lines.ts";
import { PartWriter } from "../../../runtime/store/history/part_file.ts";
import { readPart } from "../../../runtime/store/history/part_reader.ts";
import type { HistoryKind } from "../../../runtime/store/log/log_frame.ts";
import { Unfolded } from "../../../runtime/store/history/unfolded.ts";
import type { RunState } from "../../../runtime/model/run.ts";
import { FaultyDisk } from "../../faults/faulty_disk.ts";

export const FOLDER = "/data";
export const NOW = Date.UTC(2026, 0, 5, 12);

/** A history line with its frame. */
export interface Line {
  seq: number;
  table: HistoryKind;
  header: EventHeader | RunHeader | MoreHeader;
  text: string;
}

export interface EventFacts {
  type?: string;
  subject?: string;
  rules?: string[];
  data?: unknown;
  delivery?: "accepted" | "unmatched";
  /** The kind of its verdicts. */
  kind?: string;
  /** The run that caused it. */
  cause?: string;
}

export interface RunFacts {
  event?: number;
  rule?: string;
  state?: RunState;
  subject?: string;
  listed?: boolean;
  version?: string;
  notes?: string[];
}

/** The id of the run that was created as the nth. */
export function runId(nth: number): string {
  return nth.toString(32).padStart(20, "0");
}

export function eventLine(seq: number, key: number, facts: EventFacts = {}): Line {
  const {
    type = "order.paid",
    subject,
    rules = ["ops/disk"],
    data = { n: key },
    delivery = "accepted",
    kind = "started",
    cause,
  } = facts;
  const event = {
    id: `id-${key}`,
    source: "test",
    type,
    ...(subject && { subject }),
    time: "2026-01-05T12:00:00Z",
    data,
    ...(cause && { cause: { depth: 1, run: cause } }),
  };
  const verdicts = rules.map((rule) => ({ rule, trigger: "hook", verdict: { kind, run: runId(key) } }));
  return {
    seq,
    table: "event",
    header: [key, NOW + key, type, subject ?? null, delivery, rules],
    text: JSON.stringify({ event, receivedAt: NOW + key, delivery, verdicts }),
  };
}

/** The run that was created as the nth. */
export function runLine(seq: number, nth: number, facts: RunFacts = {}): Line {
  const { event = nth, rule = "ops/disk", state = "succeeded", subject, listed = true, notes = [], version = "v1" } =
    facts;
  const id = runId(nth);
  const run = { id, rule, version, trigger: "hook", state, createdAt: NOW + nth, endedAt: NOW + seq, spent: 1 };
  return {
    seq,
    table: "run",
    header: [id, rule, state, event, subject ?? null, NOW + nth, NOW + seq, listed ? 1 : 0, version],
    text: JSON.stringify({ run, event, steps: [], notes: notes.map((text) => ({ at: NOW, text })) }),
  };
}

export function moreLine(seq: number, id: number | string, amendment: unknown): Line {
  const header: MoreHeader = typeof id === "number" ? ["event", id] : ["run", id];
  return { seq, table: "more", header, text: JSON.stringify(amendment) };
}

/** A part's file and catalogue, of lines. */
export async function makePart(lines: Line[], first = lines[0].seq, last = lines[lines.length - 1].seq) {
  const writer = await PartWriter.create(first, lines.reduce((sum, { text }) => sum + text.length + 100, 0));
  for (const { table, header, text } of lines) {
    if (table === "event") writer.event(header as EventHeader, text);
    else if (table === "run") writer.run(header as RunHeader, new TextEncoder().encode(text));
    else writer.more(header as MoreHeader, text);
  }
  return writer.finish(last);
}

/** A history on a disk in memory: lines are added, and folded when the test says so. */
export class Archive {
  readonly disk = new FaultyDisk();
  readonly recent = new Unfolded();
  readonly warnings: string[] = [];
  /** Files of the parts that were queried, in order. */
  asked: string[] = [];
  /** Awaited before a part is queried. */
  beforeAsk: () => Promise<void> | void = () => {};
  synced = Infinity;
  history: History;
  #waiting: Line[] = [];

  constructor() {
    this.history = this.open([]);
  }

  open(catalogues: Catalogue[]): History {
    const read: HistoryOptions["readPart"] = async (question) => {
      await this.beforeAsk();
      this.asked.push(question.file);
      // Cloned, as between threads.
      const { result } = await readPart(this.disk, FOLDER, structuredClone(question));
      return structuredClone(result);
    };
    return this.history = new History({
      readPart: read,
      catalogues,
      recent: this.recent,
      syncedSeq: () => this.synced,
      onWarning: (message) => this.warnings.push(message),
    });
  }

  add(...lines: Line[]): void {
    for (const line of lines) {
      this.#waiting.push(line);
      this.recent.add(line.seq, line.table, JSON.stringify(line.header), line.text);
    }
  }

  get hasUnfolded(): boolean {
    return this.#waiting.length > 0;
  }

  /** Folds everything added since the last part into a new one. */
  async fold(): Promise<Catalogue> {
    const lines = this.#waiting;
    this.#waiting = [];
    const { bytes, catalogue } = await makePart(lines);
    this.disk.put(join(FOLDER, catalogue.file), bytes);
    this.history.addPart(JSON.parse(JSON.stringify(catalogue)));
    this.history.dropFolded(catalogue.last);
    return catalogue;
  }

  /** Removes the oldest part if all parts together have more bytes. @returns it */
  dropOldest(most: number): Catalogue | undefined {
    const next = this.history.nextToTrim(most, () => ({ events: new Set(), runs: new Set() }));
    if (next) this.history.removePart(next.part);
    return next?.part;
  }

  /** How many different parts were queried since the previous call. */
  countAsked(): number {
    const count = new Set(this.asked).size;
    this.asked = [];
    return count;
  }
}
