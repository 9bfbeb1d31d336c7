import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { evaluate } from "../../runtime/language/expressions/expression.ts";
import {
  hashPassword,
  hashToken,
  isPasswordHash,
  isTokenHash,
  newToken,
  verifyPassword,
  verifyToken,
} from "../../runtime/secrets/passwords.ts";
import { parseEnvFile, Secrets } from "../../runtime/secrets/secrets.ts";

const of = (environment: Record<string, string>) => new Secrets({ environment, files: [], folders: [] });

Deno.test("the environment comes before .env files, those before mounted folders; a later .env file does not override", () => {
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

Deno.test("only used secrets are masked, from their first use", () => {
  const secrets = of({ KEY: "hunter22", PATH: "/usr/bin" });
  assert.equal(secrets.mask("hunter22"), "hunter22");
  assert.equal(evaluate("secrets.KEY + '!'", { secrets: secrets.scope() }), "hunter22!");
  assert.equal(secrets.mask("a hunter22 in /usr/bin"), "a *** in /usr/bin");
  assert.deepEqual(secrets.names, ["KEY"]);
  assert.deepEqual(secrets.snapshot(), { KEY: "hunter22" });
});

Deno.test("a secret that is not set is reported as a missing key with its name", () => {
  assert.throws(() => evaluate("secrets.NOPE", { secrets: of({}).scope() }), /secrets has no key "NOPE"/);
});

Deno.test("all secrets at once cannot be read", () => {
  assert.equal(evaluate("json(secrets)", { secrets: of({ KEY: "hunter22" }).scope() }), "{}");
});

Deno.test("short values are not masked", () => {
  const secrets = of({ PIN: "123", KEY: "hunter22" });
  secrets.use(["PIN", "KEY", "NOPE"]);
  assert.equal(secrets.mask("123 hunter22"), "123 ***");
});

Deno.test("a secret has a fault if it is not set, short, or a common word", () => {
  const values = { PIN: "123", ADMIN: "admin1", REGION: "lisbonlisbo", LONG: "lisbonlisbon", KEY: "hunter22" };
  const faults = [...Object.keys(values), "NOPE"].map((name) => of(values).fault(name)?.message);
  assert.deepEqual(faults, [
    "the secret PIN has under 4 characters: it is not masked",
    "the secret ADMIN has under 8 characters: any equal text is shown as ***, even ordinary words",
    "the secret REGION is a word of under 12 letters: any equal text is shown as ***, even ordinary words",
    undefined,
    undefined,
    "the secret NOPE is not set",
  ]);
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

Deno.test("a secret is masked in over-escaped JSON, HTML, percent-encoding and hex", () => {
  const value = "pa/ss<&>'wörd\"+=";
  const secrets = of({ KEY: value });
  secrets.use(["KEY"]);
  const hex = Buffer.from(value).toString("hex");
  const shown = [
    "pa\\/ss<&>'wörd\\\"+=",
    "pa\\/ss\\u003c\\u0026\\u003e'wörd\\\"+=",
    "pa/ss\\u003C\\u0026\\u003E'w\\u00F6rd\\\"+=",
    "pa/ss&lt;&amp;&gt;&#39;wörd&quot;+=",
    "pa/ss%3C%26%3E%27w%C3%B6rd%22%2B%3D",
    "pa%2fss%3c%26%3e%27w%c3%b6rd%22%2b%3d",
    hex,
    hex.toUpperCase(),
  ];
  for (const text of shown) assert.equal(secrets.mask(`a ${text} z`), "a *** z", text);
});

Deno.test("base64 is masked with line breaks anywhere, in text and in JSON", () => {
  const property = fc.property(
    fc.uint8Array({ maxLength: 120 }),
    fc.uint8Array({ maxLength: 120 }),
    fc.constantFrom(64, 76),
    fc.constantFrom("\n", "\r\n", "\n  "),
    (before, after, width, lineBreak) => {
      const value = "correct horse battery staple, and a good deal more than one line of base64 can hold";
      const secrets = of({ KEY: value });
      secrets.use(["KEY"]);
      const encoded = Buffer.concat([before, Buffer.from(value), after]).toString("base64");
      const wrapped = encoded.replace(new RegExp(`.{${width}}`, "g"), (line) => line + lineBreak);
      for (const text of [wrapped, JSON.stringify({ wrapped })]) {
        const masked = secrets.mask(text);
        assert.ok(masked.includes("***"), text);
        const left = Buffer.from(masked.replaceAll(/\\[rn]|\*+/g, ""), "base64").toString();
        assert.doesNotMatch(left, /horse|battery|staple|good deal|one line/);
      }
    },
  );
  fc.assert(property);
});

Deno.test("lines without a secret are unchanged", () => {
  const secrets = of({ KEY: "hunter22hunter22" });
  secrets.use(["KEY"]);
  const text = 'one\n  two\r\nthree {"a":"b\\nc"}\n';
  assert.equal(secrets.mask(text), text);
});

Deno.test("no encoding of a secret survives masking", () => {
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

Deno.test("a .env file may have values in quotes or bare, exports and comments", () => {
  const text = [
    "# a comment",
    "A=plain value # not part of it",
    "export B='lit$eral # kept'",
    'C="two\\nlines \\"q\\""',
    "D=",
    "  E = x=y ",
    "F=a#b",
    'G="over',
    'two lines"',
    "no name",
    "H='last'\r",
  ].join("\n");
  assert.deepEqual(parseEnvFile(text), {
    A: "plain value",
    B: "lit$eral # kept",
    C: 'two\nlines "q"',
    D: "",
    E: "x=y",
    F: "a#b",
    G: "over\ntwo lines",
    H: "last",
  });
});

Deno.test("a password matches its hash, a wrong one does not; two hashes of one password differ", async () => {
  const hash = await hashPassword("correct horse ü");
  assert.ok(isPasswordHash(hash), hash);
  assert.equal(await verifyPassword("correct horse ü", hash), true);
  assert.equal(await verifyPassword("correct horse u\u0308", hash), true, "composed of other characters");
  for (const wrong of ["", "correct horse u", "correct horse ü "]) {
    assert.equal(await verifyPassword(wrong, hash), false);
  }
  assert.notEqual(await hashPassword("correct horse ü"), hash);
});

Deno.test("a hash of another cost is valid; one of excessive cost is not", async () => {
  const weak = "scrypt.10.8.1.AAAAAAAAAAAAAAAAAAAAAA.";
  const { scryptSync } = await import("node:crypto");
  const key = scryptSync("old", new Uint8Array(16), 32, { N: 1_024, r: 8, p: 1 }).toString("base64url");
  assert.equal(await verifyPassword("old", weak + key), true);
  for (const cost of ["9.8.1", "18.8.1", "15.17.1", "15.8.9", "15.8.0"]) {
    assert.equal(isPasswordHash(`scrypt.${cost}.${"s".repeat(22)}.${"k".repeat(43)}`), false, cost);
  }
});

Deno.test("a token matches its hash", () => {
  const token = newToken();
  assert.match(token, /^wt_[\w-]{43}$/);
  assert.ok(isTokenHash(hashToken(token)));
  assert.equal(verifyToken(token, hashToken(token)), true);
  assert.equal(verifyToken(newToken(), hashToken(token)), false);
});
