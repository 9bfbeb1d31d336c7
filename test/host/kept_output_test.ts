import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Tail } from "../../runtime/host/kept_output.ts";

/** What is kept of a stream that comes in pieces. */
function lines(bytes: Buffer, { limit = 20, room = 1_000, piece = 7, charset = undefined as string | undefined } = {}) {
  const tail = new Tail(limit);
  for (let at = 0; at < bytes.length; at += piece) tail.add(bytes.subarray(at, at + piece));
  return tail.lines(room, charset);
}

Deno.test("the kept end of a stream begins with a whole line, however it was chunked", () => {
  const text = Buffer.from("one\ntwo\nthree\nfour\nfive\nsix\n");
  for (let piece = 1; piece <= text.length; piece++) {
    assert.deepEqual(lines(text, { piece, limit: 14 }), { text: "four\nfive\nsix\n", dropped: 14 }, `${piece}`);
    // If it starts within a line, from the next one.
    assert.deepEqual(lines(text, { piece, limit: 13 }), { text: "five\nsix\n", dropped: 19 }, `${piece}`);
    assert.deepEqual(lines(text, { piece, limit: 100 }), { text: `${text}`, dropped: 0 }, `${piece}`);
  }
});

Deno.test("of one long line the last whole characters are kept", () => {
  assert.deepEqual(lines(Buffer.from("żżżżżż\n"), { limit: 6 }), { text: "żż\n", dropped: 8 });
  const wide = Buffer.from("\ufeff😀😀😀\n", "utf16le");
  assert.deepEqual(lines(wide, { limit: 8 }), { text: "😀\n", dropped: 10 });
});

Deno.test("space is counted as JSON, in which a newline takes two bytes and a control character six", () => {
  assert.deepEqual(lines(Buffer.from("a\nb\nc\n"), { room: 8 }), { text: "b\nc\n", dropped: 2 });
  const { text, dropped } = lines(Buffer.alloc(20), { room: 62 });
  assert.ok(text.length > 0 && text.length <= 10);
  assert.equal(text.length + dropped, 20);
});

Deno.test("the charset is taken from the beginning of the stream, even if that is dropped", () => {
  assert.equal(lines(Buffer.from("\ufeffżółć\nźdźbło\n", "utf16le"), { limit: 17 }).text, "źdźbło\n");
  const declared = Buffer.concat([
    Buffer.from('<?xml version="1.0" encoding="windows-1251"?>\n<a>'),
    Buffer.from([0xcf, 0xf0]),
    Buffer.from("</a>\n<b>"),
    Buffer.from([0xcf]),
    Buffer.from("</b>\n"),
  ]);
  assert.equal(lines(declared, { limit: 12 }).text, "<b>П</b>\n");
  const japanese = Buffer.concat([Buffer.from("ab\n"), Buffer.from([0x83, 0x5c, 0x83, 0x5c, 0x0a])]);
  assert.equal(lines(japanese, { limit: 6, charset: "shift_jis" }).text, "ソソ\n");
  // A line at the end that looks like a declaration says nothing about the stream.
  const later = Buffer.from('é\n<?xml version="1.0" encoding="windows-1251"?>é\n');
  assert.ok(lines(later, { limit: 50 }).text.endsWith("é\n"));
  assert.match(lines(Buffer.from("a\n\xff\n", "latin1"), { limit: 3 }).undecodable!, /^it is not text in utf-8; /);
});
