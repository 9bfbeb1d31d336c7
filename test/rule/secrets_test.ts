import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { evaluate } from "../../runtime/rule/expression.ts";
import { Secrets } from "../../runtime/rule/secrets.ts";

const of = (environment: Record<string, string>) => new Secrets({ environment, files: [], folders: [] });

Deno.test("the environment comes before .env files, those before mounted folders; a later .env file does not win", () => {
  const folder = mkdtempSync(join(tmpdir(), "secrets-"));
  try {
    const [first, second] = [join(folder, "first.env"), join(folder, "second.env")];
    writeFileSync(first, "A=file-one\nB=file-one\n");
    writeFileSync(second, "B=file-two\nC='file two'\n");
    for (const name of ["A", "B", "C", "D"]) writeFileSync(join(folder, name), "mounted\n");
    const secrets = new Secrets({ environment: { A: "environment" }, files: [first, second], folders: [folder] });
    assert.deepEqual(["A", "B", "C", "D", "E"].map((name) => secrets.get(name)), [
      "environment",
      "file-one",
      "file two",
      "mounted",
      undefined,
    ]);
    assert.equal(secrets.get("../first.env"), undefined);
    writeFileSync(join(folder, "D"), "rotated");
    assert.equal(secrets.get("D"), "mounted");
    secrets.refresh();
    assert.equal(secrets.get("D"), "rotated");
    assert.equal(secrets.mask("mounted rotated"), "*** ***");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

Deno.test("only what is used is masked, from the moment it is used", () => {
  const secrets = of({ KEY: "hunter22", PATH: "/usr/bin" });
  assert.equal(secrets.mask("hunter22"), "hunter22");
  assert.equal(evaluate("secrets.KEY + '!'", { secrets: secrets.scope() }), "hunter22!");
  assert.equal(secrets.mask("a hunter22 in /usr/bin"), "a *** in /usr/bin");
  assert.deepEqual(secrets.names, ["KEY"]);
  assert.deepEqual(secrets.snapshot(), { KEY: "hunter22" });
});

Deno.test("a secret that is not set is a missing key that is named", () => {
  assert.throws(() => evaluate("secrets.NOPE", { secrets: of({}).scope() }), /secrets has no key "NOPE"/);
  assert.equal(of({}).has("NOPE"), false);
});

Deno.test("all secrets at once are not to be had", () => {
  assert.equal(evaluate("json(secrets)", { secrets: of({ KEY: "hunter22" }).scope() }), "{}");
});

Deno.test("short values are not masked but warned about, missing ones too", () => {
  const secrets = of({ PIN: "123", KEY: "hunter22" });
  assert.deepEqual(secrets.use(["PIN", "KEY", "NOPE"]), [
    "the secret PIN has under 4 characters: it is not masked in traces and logs",
    "the secret NOPE is not set",
  ]);
  assert.equal(secrets.mask("123 hunter22"), "123 ***");
});

Deno.test("texts, keys and numbers in JSON are masked", () => {
  const secrets = of({ PIN: "12345", KEY: "hunter22" });
  secrets.use(["PIN", "KEY"]);
  const value = { hunter22: ["x-hunter22", 12345, 7, null, true] };
  assert.deepEqual(secrets.maskJson(value), { "***": ["x-***", "***", 7, null, true] });
});

Deno.test("a private key is masked line by line too", () => {
  const key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQEFAASCBKcwggSj\n-----END KEY-----";
  const secrets = of({ KEY: key });
  secrets.use(["KEY"]);
  assert.doesNotMatch(secrets.mask(key.split("\n").map((line) => `| ${line}`).join("\n")), /MIIE|9w0B/);
});

Deno.test("no spelling of a secret survives the mask", () => {
  const secret = fc.oneof(
    fc.string({ minLength: 6, maxLength: 40 }),
    fc.string({ minLength: 6, maxLength: 40, unit: "grapheme" }),
    fc.stringMatching(/^[\w+/="'&?%<> -]{6,40}$/),
  ).filter((text) => text === text.trim() && !text.includes("*") && text.isWellFormed());
  fc.assert(fc.property(secret, fc.string(), fc.string(), (value, before, after) => {
    const secrets = of({ KEY: value });
    secrets.use(["KEY"]);
    const url = new URL("https://h/");
    url.searchParams.set("key", value);
    const shown = [
      `${before}${value}${after}`,
      JSON.stringify({ text: `${before}${value}${after}` }),
      JSON.stringify({ text: JSON.stringify({ value }) }),
      `https://h/${encodeURIComponent(value)}/x`,
      url.href,
      ...[0, 1, 2].flatMap((length) => {
        const bytes = Buffer.from(`${"u".repeat(length)}${value}:tail`);
        return [bytes.toString("base64"), bytes.toString("base64url")];
      }),
    ];
    for (const text of shown) {
      const masked = secrets.mask(text);
      assert.ok(masked.includes("***"), `${JSON.stringify(value)} was not found in ${text}`);
      assert.ok(!before.includes(value) && !after.includes(value) ? !masked.includes(value) : true);
    }
  }));
});
