import type { EventMore, EventText, RunMore, RunText } from "./lines.ts";
import type { EventRecord } from "../store.ts";

/** A run that has ended. */
export interface EndedRun extends RunText {
  /** False if it ended with its condition: it is not listed. */
  listed: boolean;
}

/** An event with its amendments applied. @param more in chronological order */
export function amendEvent(key: number, { event, receivedAt, delivery, verdicts }: EventText, more: EventMore[]) {
  const record: EventRecord = {
    key: String(key),
    event,
    receivedAt,
    deliveries: 1,
    delivery,
    verdicts: [...verdicts],
    ended: [],
  };
  for (const amendment of more) {
    if ("deliveries" in amendment) record.deliveries += amendment.deliveries;
    else if ("verdict" in amendment) replaceVerdict(record.verdicts, amendment.verdict);
    else if ("ended" in amendment) {
      record.ended.push(amendment.ended);
      record.delivery = "accepted";
    }
  }
  return record;
}

function replaceVerdict(verdicts: EventRecord["verdicts"], verdict: EventRecord["verdicts"][number]): void {
  const at = verdicts.findIndex(({ rule, trigger }) => rule === verdict.rule && trigger === verdict.trigger);
  if (at === -1) verdicts.push(verdict);
  else verdicts[at] = verdict;
}

/** A run with its amendments applied. @param more in chronological order */
export function amendRun({ run, event, steps, notes }: RunText, listed: boolean, more: RunMore[]): EndedRun {
  return { run, event, steps, notes: [...notes, ...more.map(({ note }) => note)], listed };
}
