import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { DamagedError } from "../../../runtime/store/log/errors.ts";
import {
  encodeFrame,
  encodeHead,
  newerFrameBehind,
  readFrame,
  versionOf,
} from "../../../runtime/store/log/log_frame.ts";
import { isDrop, lines, rowNameOf, splitHistory, withoutBirth } from "../../../runtime/store/log/lines.ts";

Deno.test("a frame is read as it was written", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), fc.nat(), (text, seq) => {
    const frame = readFrame(Buffer.concat([Buffer.from("xyz"), encodeFrame(seq, text)]), 3)!;
    assert.equal(frame.payload.toString(), text);
    assert.equal(frame.seq, seq);
  }));
});

Deno.test("a frame cut at any byte, or with any bit flipped, is invalid", () => {
  const bytes = encodeFrame(7, 'run/a\t{"x":1}\n');
  for (let at = 0; at < bytes.length; at++) {
    assert.equal(readFrame(bytes.subarray(0, at), 0), undefined);
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Uint8Array.from(bytes);
      flipped[at] ^= 1 << bit;
      assert.equal(readFrame(flipped, 0), undefined);
    }
  }
});

Deno.test("a newer frame after damage is found, an older one does not count", () => {
  const bytes = Buffer.concat([Buffer.from("damage"), encodeFrame(7, "a")]);
  assert.equal(newerFrameBehind(bytes, 0, 6), true);
  assert.equal(newerFrameBehind(bytes, 0, 7), false);
});

Deno.test("a header has its version; other text is damage", () => {
  const head = readFrame(encodeHead(5, 3), 0)!;
  assert.deepEqual([head.seq, versionOf(head)], [4, 3]);
  assert.throws(() => versionOf(readFrame(encodeFrame(1, "{}"), 0)!), DamagedError);
  assert.throws(() => versionOf(readFrame(encodeFrame(1, "x\t\n"), 0)!), DamagedError);
});

Deno.test("lines() finds keys and the rest of each line", () => {
  const bytes = Buffer.from('run*/ü\t{"a":1}\nstep/b\t\n+run\t["x"]\t{"b":2}\nstate/a*/b\t1\n');
  const [put, drop, history, other] = [...lines(bytes)];
  assert.equal(bytes.toString("utf8", put.from, put.to), '{"a":1}');
  assert.deepEqual(rowNameOf(bytes, put), { table: "run", key: "ü", born: true });
  assert.deepEqual(rowNameOf(bytes, other), { table: "state", key: "a*/b", born: false });
  assert.deepEqual(withoutBirth(put.key), { key: "run/ü", born: true });
  assert.deepEqual([isDrop(put), isDrop(drop), drop.key], [false, true, "step/b"]);
  const { header, text } = splitHistory(bytes, history);
  assert.deepEqual([header, text.toString()], ['["x"]', '{"b":2}']);
});

Deno.test("a line that is not whole is damage", () => {
  for (const text of ["a/b", "a/b\t", "a/b\n"]) assert.throws(() => [...lines(Buffer.from(text))], DamagedError);
  const nothing = Buffer.from("nothing\t1\n");
  for (const line of lines(nothing)) assert.throws(() => rowNameOf(nothing, line), DamagedError);
  const history = Buffer.from("+run\t[]\nrun/a\t{}\n");
  assert.throws(() => splitHistory(history, [...lines(history)][0]), DamagedError);
});
