import type { Buffer } from "node:buffer";
import { DamagedError } from "./errors.ts";
import { type HistoryKind, historyKind, isDrop, type Line, lines, splitHistory, withoutBirth } from "./lines.ts";

/** Callbacks for the lines of a frame. */
export interface FrameVisitor {
  row(line: Line): void;
  id(hash: string, text: string): void;
  /** @param text a view. An event without a text of its own gets the text of its row, put earlier in the same frame */
  history(kind: HistoryKind, header: string, text: Buffer): void;
}

const IDS = "id/";

/**
 * Visits the lines of a frame in order.
 * @throws DamagedError
 */
export function visitFrame(payload: Buffer, visitor: FrameVisitor): void {
  /** The rows of events, which their lines in history refer to. */
  const events = new Map<string, Line>();
  for (const line of lines(payload)) {
    const kind = historyKind(line.key);
    if (kind !== undefined) {
      const { header, text } = splitHistory(payload, line);
      const isInRow = kind === "event" && text.length === 0;
      visitor.history(kind, header, isInRow ? textOfEvent(header, payload, events) : text);
    } else if (line.key.startsWith(IDS)) {
      visitor.id(line.key.slice(IDS.length), payload.toString("utf8", line.from, line.to));
    } else {
      if (line.key.startsWith("event")) events.set(withoutBirth(line.key).key, line);
      visitor.row(line);
    }
  }
}

/** The text of an event's row. The frame that accepts the event puts the row first. */
function textOfEvent(header: string, payload: Buffer, events: Map<string, Line>): Buffer {
  const [eventKey] = JSON.parse(header) as [number];
  const key = `event/${String(eventKey).padStart(16, "0")}`;
  const put = events.get(key);
  if (put === undefined || isDrop(put)) throw new DamagedError(`${key} is not put before its event in the same frame`);
  return payload.subarray(put.from, put.to);
}
