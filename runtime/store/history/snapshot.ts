import type { Part } from "./catalogue.ts";
import type { PartRead, PartReads } from "./part_reader.ts";
import type { UnfoldedLine, UnfoldedView } from "./unfolded.ts";

/** An event or run, with its amendments; texts are JSON. */
export interface Row<I extends string | number = string | number> {
  id: I;
  text: string;
  /** False for runs that are not listed. */
  listed: boolean;
  /** Amendments, oldest first. */
  more: string[];
  /** The last frame of its part; Infinity if it is not folded. */
  from: number;
  /** The number of its line if it is not folded, else -1. */
  line: number;
}

/** Queries a part. Returns undefined if the part was removed or cannot be read. */
export type Ask = <K extends PartRead>(
  part: Part,
  read: K,
  args: PartReads[K]["args"],
) => Promise<PartReads[K]["result"] | undefined>;

/** The data that one query sees: the parts, oldest first, and the lines that were not folded when it began. */
export class Snapshot {
  readonly parts: readonly Part[];
  readonly recent: UnfoldedView;
  readonly #ask: Ask;

  constructor(parts: readonly Part[], recent: UnfoldedView, ask: Ask) {
    this.parts = parts;
    this.recent = recent;
    this.#ask = ask;
  }

  async findEvent(key: number): Promise<Row<number> | undefined> {
    return (await this.findEvents([key])).get(key);
  }

  /** Those of these events that exist, by key. Queries each part once. */
  async findEvents(keys: number[]): Promise<Map<number, Row<number>>> {
    const rows = new Map<number, Row<number>>();
    for (const key of keys) {
      const line = this.recent.event(key);
      if (line !== undefined) rows.set(key, recentRow(key, line));
    }
    for (const part of this.parts) {
      const asked = keys.filter((key) => !rows.has(key) && part.mayHaveEvent(key));
      if (asked.length === 0) continue;
      const found = await this.#ask(part, "eventsByKey", { keys: asked }) ?? [];
      for (const event of found) rows.set(event.id, partRow(event, part));
    }
    return rows;
  }

  /** The newest record of a run. */
  async findRun(id: string): Promise<Row<string> | undefined> {
    const line = this.recent.run(id);
    if (line !== undefined) return recentRow(id, line, line.header()[7] === 1);
    for (const part of this.parts.filter((other) => other.mayHaveRun(id)).reverse()) {
      const found = await this.#ask(part, "run", { id });
      if (found !== undefined) return partRow(found, part, found.listed);
    }
  }

  /** Those of the runs in a part that have ended again since, which makes the part's records of them obsolete. */
  async endedAgain(ids: string[], part: Part): Promise<Set<string>> {
    const again = new Set(ids.filter((id) => this.recent.run(id) !== undefined));
    for (const newer of this.#partsBehind(part.catalogue.last)) {
      const asked = ids.filter((id) => newer.mayHaveRun(id));
      if (asked.length === 0) continue;
      for (const { id, ended } of await this.#ask(newer, "more", { ids: asked }) ?? []) {
        if (ended) again.add(id as string);
      }
    }
    return again;
  }

  /** Adds the amendments that came after a row's own part or line. */
  async amend(rows: Row[]): Promise<void> {
    const oldest = rows.reduce((least, { from }) => Math.min(least, from), Infinity);
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const part of this.#partsBehind(oldest)) {
      const ids = rows.filter(({ id, from }) => from < part.catalogue.first && part.mayHaveMore(id)).map(({ id }) =>
        id
      );
      if (ids.length === 0) continue;
      for (const { id, more } of await this.#ask(part, "more", { ids }) ?? []) byId.get(id)!.more.push(...more);
    }
    for (const row of rows) {
      for (const { number, text } of this.recent.more(row.id)) if (number > row.line) row.more.push(text);
    }
  }

  #partsBehind(seq: number): Part[] {
    return this.parts.filter(({ catalogue }) => catalogue.first > seq);
  }
}

/** A row that is not folded. */
export function recentRow<I extends string | number>(id: I, line: UnfoldedLine, listed = true): Row<I> {
  return { id, text: line.text, listed, more: [], from: Infinity, line: line.number };
}

/** A row from a part. */
export function partRow<I extends string | number>(
  { id, text, more = [] }: { id: I; text: string; more?: string[] },
  part: Part,
  listed = true,
): Row<I> {
  return { id, text, listed, more: [...more], from: part.catalogue.last, line: -1 };
}
