import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { charsetOf, DecodeError, decodeReadable, decodeText, isCharset } from "../../runtime/formats/decode_text.ts";

const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");

Deno.test("decodeText() reads the common charsets", () => {
  const cases: [string, string, string][] = [
    ["utf-8", "e2 82 ac", "€"],
    ["windows-1250", "9c f3 b3", "śół"],
    ["windows-1251", "cf f0 e8", "При"],
    ["windows-1252", "80 e9", "€é"],
    ["iso-8859-1", "e9", "é"],
    ["koi8-r", "f0 d2 c9", "При"],
    ["shift_jis", "93 fa 96 7b", "日本"],
    ["euc-jp", "c6 fc cb dc", "日本"],
    ["gb2312", "c4 e3 ba c3", "你好"],
    ["big5", "a7 41 a6 6e", "你好"],
    ["euc-kr", "c7 d1", "한"],
    ["utf-16le", "e9 00", "é"],
    ["utf-16be", "00 e9", "é"],
  ];
  for (const [charset, hex, text] of cases) {
    assert.equal(decodeText(bytes(hex), { charset }), text, charset);
    assert.equal(decodeText(bytes(hex), { contentType: `text/plain; charset="${charset.toUpperCase()}"` }), text);
  }
});

Deno.test("the option wins over the mark, the mark over the header, the header over the declaration", () => {
  const declared = Buffer.concat([Buffer.from('<?xml version="1.0" encoding="windows-1251"?>'), bytes("cf")]);
  assert.ok(decodeText(declared).endsWith("П"));
  assert.ok(decodeText(declared, { contentType: "text/xml; charset=koi8-r" }).endsWith("о"));
  assert.ok(decodeText(declared, { contentType: "text/xml; charset=koi8-r", charset: "latin1" }).endsWith("Ï"));
  const marked = Buffer.concat([bytes("ef bb bf"), Buffer.from('<?xml version="1.0" encoding="latin1"?>é')]);
  assert.equal(decodeText(marked), '<?xml version="1.0" encoding="latin1"?>é');
  assert.equal(decodeText(bytes("ff fe e9 00"), { contentType: "text/plain; charset=utf-8" }), "é");
  assert.throws(() => decodeText(bytes("ff fe e9 00"), { charset: "utf-8" }), DecodeError);
});

Deno.test("byte order marks select UTF-16, and are dropped", () => {
  assert.equal(decodeText(bytes("ff fe e9 00")), "é");
  assert.equal(decodeText(bytes("fe ff 00 e9")), "é");
  assert.equal(decodeText(bytes("fe ff 00 e9"), { contentType: "text/plain; charset=utf-16" }), "é");
  assert.equal(decodeText(bytes("ef bb bf c3 a9")), "é");
});

Deno.test("an impossible declaration and an unknown charset are ignored", () => {
  const text = '<?xml version="1.0" encoding="utf-16"?>é';
  assert.equal(decodeText(Buffer.from(text)), text);
  assert.equal(decodeText(Buffer.from("é"), { contentType: "text/plain; charset=none" }), "é");
  assert.equal(charsetOf("text/plain; charset=none"), undefined);
  assert.ok(isCharset("Windows-1252") && !isCharset("none") && !isCharset(""));
});

Deno.test("text that cannot be decoded is an error that says why that charset was expected", () => {
  const cases: [Uint8Array, Parameters<typeof decodeText>[1], string][] = [
    [bytes("e9"), {}, "in utf-8; "],
    [bytes("ff fe e9"), {}, "in utf-16le, as its byte order mark says; "],
    [bytes("ff ff"), { contentType: "text/plain; charset=Shift_JIS" }, "in shift_jis, as its content type says; "],
    [bytes("ff ff"), { charset: "euc-jp" }, 'in euc-jp, as "charset" says; '],
    [
      Buffer.concat([Buffer.from('<?xml version="1.0" encoding="EUC-JP"?>'), bytes("ff")]),
      {},
      "in euc-jp, as its XML declaration says; ",
    ],
  ];
  for (const [found, options, reason] of cases) {
    assert.throws(() => decodeText(found, options), {
      name: "DecodeError",
      message: `it is not text ${reason}"charset" can say in which charset it is`,
    });
  }
  assert.equal(decodeReadable(bytes("41 e9 42")), "A\ufffdB");
});

Deno.test("a character cut by a limit is left out", () => {
  assert.equal(decodeText(bytes("41 e2 82"), { cut: true }), "A");
  assert.throws(() => decodeText(bytes("41 e2 82")), DecodeError);
});
