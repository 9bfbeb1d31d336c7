import { parentPort } from "node:worker_threads";
import { crc32 } from "node:zlib";
import { type CheckpointFile, openCheckpoint } from "./checkpoint_file.ts";
import { Database } from "./database.ts";
import { letGo } from "./let_go.ts";
import { type Reached, replay } from "./replay.ts";
import { SCHEMA_VERSION } from "./schema.ts";

/**
 * What to do next: begin with the checkpoint before, where there is one; replay a segment, up to a frame; give the file. One at
 * a time, so that no two segments are in memory. Plain buffers, as Deno looks at each element of a typed array that comes to a
 * worker (10 s for 33 MB; a buffer takes 2 ms).
 */
export type CheckpointOrder =
  | { kind: "begin"; base?: { file: CheckpointFile; bytes: ArrayBuffer } }
  | { kind: "replay"; name: string; firstSeq: number; bytes: ArrayBuffer; until: number }
  | { kind: "give" };

/** A checkpoint that is made. */
export interface Made {
  bytes: Uint8Array<ArrayBuffer>;
  crc: number;
}

/** Waits for the next order, has made the file, or tells why it cannot be made. */
export type CheckpointAnswer = "next" | Made | { failure: string };

let database: Database;
let reached: Reached;

async function obey(order: CheckpointOrder): Promise<"next" | Made> {
  switch (order.kind) {
    case "begin":
      await begin(order.base);
      return "next";
    case "replay": {
      const segment = { ...order, bytes: new Uint8Array(order.bytes) };
      reached = replay(database, reached, [segment], order.until);
      letGo(segment.bytes);
      return "next";
    }
    case "give":
      return give();
  }
}

async function begin(base: Extract<CheckpointOrder, { kind: "begin" }>["base"]): Promise<void> {
  if (base === undefined) {
    [database, reached] = [await Database.exportable(), { seq: 0, schema: 0 }];
    return;
  }
  const bytes = new Uint8Array(base.bytes);
  const opened = await openCheckpoint(base.file, bytes);
  // The database has a copy.
  letGo(bytes);
  [database, reached] = [opened.database, { seq: base.file.seq, schema: opened.schema }];
}

function give(): Made {
  database.migrate(reached.schema, SCHEMA_VERSION);
  database.setMeta(reached.seq, SCHEMA_VERSION);
  const bytes = database.export();
  return { bytes, crc: crc32(bytes) };
}

parentPort!.on("message", async (order: CheckpointOrder) => {
  const answer: CheckpointAnswer = await obey(order).catch((error) => ({ failure: String(error) }));
  parentPort!.postMessage(answer, typeof answer === "object" && "bytes" in answer ? [answer.bytes.buffer] : []);
});
// An order that had come before this listener would be lost.
parentPort!.postMessage("next");
