import assert from "node:assert/strict";
import type { Disk } from "../../../runtime/host/disk.ts";
import { mergeFiles } from "../../../runtime/store/log/merge.ts";
import { EXPIRY, FOLDER, hooks, NOW, openLog, partLines, recovered } from "./helpers.ts";

/** The model of a store: frames depend only on their number. */
export interface Model {
  rows: Map<string, string>;
  /** Those that have not expired. */
  ids: Map<string, string>;
  lines: string[][];
}

/** Runs that are live for so many frames. */
const LIVES = [0, 1, 3, 10, 40];

/** The lines of a frame, which the model follows. */
export function frameText(seq: number, model?: Model): string {
  const out: string[] = [];
  const put = (key: string, text: string, born = false) => {
    out.push(`${born ? key.replace("/", "*/") : key}\t${text}\n`);
    model?.rows.set(key, text);
  };
  const drop = (key: string) => {
    out.push(`${key}\t\n`);
    model?.rows.delete(key);
  };
  const history = (kind: string, header: unknown, line: string, text = line) => {
    out.push(`+${kind}\t${JSON.stringify(header)}\t${line}\n`);
    model?.lines.push([kind, JSON.stringify(header), text]);
  };
  const event = `{"event":${seq},"text":"${"ü".repeat(seq % 7)}"}`;
  put(`event/${String(seq).padStart(16, "0")}`, event, true);
  history("event", [seq, NOW, "paid", null, "accepted", []], "", event);
  put(`run/${seq}`, `{"run":${seq}}`, true);
  put("counter/all", String(seq));
  // Every third identity has expired, and some of them are repeated.
  const hash = (seq % 11).toString(16).padStart(32, "0");
  const at = seq % 3 === 0 ? NOW - EXPIRY.retention : NOW;
  out.push(`id/${hash}\t[${seq},${at},null,1,0]\n`);
  if (at === NOW) model?.ids.set(hash, `[${seq},${at},null,1,0]`);
  else model?.ids.delete(hash);
  for (const life of LIVES) {
    const run = seq - life;
    if (run < 1 || LIVES[run % LIVES.length] !== life) continue;
    history("run", [String(run)], `{"run":${run},"ended":${seq}}`);
    drop(`run/${run}`);
    drop(`event/${String(run).padStart(16, "0")}`);
    if (run % 4 === 0) put(`run/${run}`, '{"retried":true}');
    if (run % 5 === 0) history("more", ["run", String(run)], '{"note":1}');
  }
  return out.join("");
}

/** The expected content of a store after a frame. */
export function modelAfter(seq: number): Model {
  const model: Model = { rows: new Map(), ids: new Map(), lines: [] };
  for (let at = 1; at <= seq; at++) frameText(at, model);
  return model;
}

/** Appends frames as segments of the given lengths. */
export async function appendSegments(disk: Disk, lastSeq: number, lengths: number[]): Promise<number> {
  const log = openLog(disk, lastSeq);
  for (const length of lengths) {
    for (let at = 0; at < length; at++) await log.append(frameText(log.lastSeq + 1));
    await log.seal();
  }
  return log.lastSeq;
}

/** Merges if there is something to merge. */
export function merge(disk: Disk) {
  return mergeFiles(disk, FOLDER, EXPIRY, hooks);
}

/** Recovers a store and compares it with the model. @returns the warnings */
export async function check(disk: Disk, seq: number): Promise<string[]> {
  const model = modelAfter(seq);
  const found = await recovered(disk);
  assert.equal(found.seq, seq);
  assert.deepEqual(sorted(found.sink.rows), sorted(model.rows));
  const known = [...found.sink.ids].filter(([, text]) => JSON.parse(text)[1] === NOW);
  assert.deepEqual(sorted(new Map(known)), sorted(model.ids));
  const lines: string[][] = [];
  for (const { name } of found.parts) lines.push(...partLines(await disk.read(`${FOLDER}/${name}`)));
  assert.deepEqual([...lines, ...found.sink.lines], model.lines);
  return found.warnings;
}

function sorted(map: Map<string, string>): [string, string][] {
  return [...map].sort(([a], [b]) => a < b ? -1 : 1);
}
