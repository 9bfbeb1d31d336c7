import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import examples from "@octokit/webhooks-examples/api.github.com/index.json" with { type: "json" };
import fc from "fast-check";
import { rulesFolder } from "../folder.ts";
import { type Program, start } from "../program.ts";
import { TIMEOUT, until } from "../until.ts";
import { rawRequest } from "./raw_request.ts";
import { residentMegabytes } from "./resources.ts";
import { size } from "./size.ts";

const numRuns = size(250, 20_000);

/** A text with some pieces cut out, duplicated or replaced. */
function mutated(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const piece = fc.constantFrom(
    "",
    "null",
    "{",
    "]",
    '"',
    "\\u0000",
    "__proto__",
    "1e999",
    "-",
    ",,",
    "é😀",
    "\n",
    "%00",
  );
  const edits = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(20), piece), { maxLength: 4 });
  return fc.tuple(text, edits).map(([original, changes]) =>
    changes.reduce((now, [where, cut, put]) => {
      const at = Math.floor(where * now.length);
      return now.slice(0, at) + put + now.slice(at + cut);
    }, original)
  );
}

const payloads = examples.flatMap(({ examples }) => examples.map((example) => JSON.stringify(example)));
const cloudEvent = fc.record({
  specversion: fc.oneof(fc.constant("1.0"), fc.jsonValue()),
  type: fc.oneof(fc.string(), fc.jsonValue()),
  source: fc.oneof(fc.webUrl(), fc.jsonValue()),
  id: fc.oneof(fc.string(), fc.jsonValue()),
  time: fc.oneof(fc.date({ noInvalidDate: true }).map((date) => date.toISOString()), fc.jsonValue()),
  data: fc.jsonValue(),
  data_base64: fc.oneof(fc.base64String(), fc.jsonValue()),
}, { requiredKeys: [] });

const body = fc.oneof(
  mutated(fc.constantFrom(...payloads)),
  mutated(cloudEvent.map((event) => JSON.stringify(event))),
  mutated(fc.json()),
  fc.string({ unit: "binary" }),
  fc.uint8Array({ maxLength: 2_000 }).map((bytes) => new Uint8Array(bytes)),
);
/** What a header may contain (RFC 9110, 5.5), meaningful or not. */
const headerValue = fc.string({ unit: fc.constantFrom(..."abz019 ,;=\"'%/\\{}\t\xe9\xff") }).map((text) => text.trim());
const contentType = fc.constantFrom(
  "application/json",
  "application/json; charset=utf-16",
  "application/cloudevents+json",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "text/plain",
  "text/xml",
  "application/octet-stream",
);
const request = fc.record({
  method: fc.constantFrom("POST", "POST", "POST", "GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"),
  path: fc.tuple(
    fc.constantFrom(
      ..."/hooks/in /hooks/ids /hooks/at/x /events /api/emit /api/runs /api/events /api/rules/in/pause /api/forms /forms"
        .split(" "),
      ..."/forms/x /api/runs/x /api/runs/x/retry /api/runs/x/skip /metrics / /healthz".split(" "),
    ),
    fc.oneof(
      fc.constant(""),
      fc.webPath(),
      fc.string({ unit: "binary" }).map((text) => `/${encodeURIComponent(text.toWellFormed())}`),
    ),
    fc.oneof(
      fc.constant(""),
      fc.webQueryParameters().map((query) => `?${query}`),
      fc.tuple(fc.constantFrom("limit", "before", "state", "rule", "type", "waiting"), fc.webQueryParameters()).map((
        [name, value],
      ) => `?${name}=${value}`),
    ),
  ).map((parts) => parts.join("")),
  headers: fc.tuple(
    fc.oneof(contentType, headerValue),
    fc.dictionary(
      fc.constantFrom(
        "ce-id",
        "ce-type",
        "ce-source",
        "ce-specversion",
        "ce-time",
        "x-github-event",
        "webhook-id",
        "whenthen-cause",
        "authorization",
        "cookie",
        "origin",
        "accept",
      ),
      headerValue,
      { maxKeys: 4 },
    ),
  ).map(([type, others]) => ({ "content-type": type, ...others })),
  body,
});

Deno.test("requests with any method, path, headers and body: a status below 500, flat memory", async () => {
  await using folder = await rulesFolder({
    "in.yaml":
      'when: { webhook: /in, auth: none }\nlimit: none\nif: event.data.n > 3 && event.subject != "x"\nthen:\n  - log: "n is ${{ event.data.n }}"\n',
    "ids.yaml": "when: { webhook: /ids, auth: none, dedupe: event.data.id }\nlimit: none\nthen:\n  - log: id\n",
    "at.yaml":
      'when: { webhook: "/at/:place", auth: none, method: PUT }\nkey: event.http.params.place\nthen:\n  - log: "${{ event.http.params.place }}"\n',
    "any.yaml":
      'when: { event: "*" }\nlimit: none\nif: size(event.subject) > 3\nthen:\n  - emit: "${{ event.type }}"\n',
  });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const once = () =>
    fc.assert(
      fc.asyncProperty(request, async ({ method, path, headers, body }) => {
        const withBody = method !== "GET" && method !== "HEAD";
        const response = await program.fetch(path, { method, headers, ...withBody && { body } });
        const text = await response.text();
        assert.ok(response.status < 500, `${response.status} ${text}`);
        if (response.headers.get("content-type")?.includes("json")) JSON.parse(text || "null");
      }),
      { numRuns },
    );
  await once();
  const before = residentMegabytes(program);
  await once();
  // Temporary memory is freed when the engine collects it.
  const memory = () => Promise.resolve(residentMegabytes(program));
  const after = await until("memory that is flat", memory, (now) => now < before + 100);
  console.log(`${before} MB after ${numRuns} requests, ${after} MB after twice as many`);
  assert.deepEqual(program.lines.filter(({ message }) => /^Cannot answer/.test(message)), []);
  assert.equal(await program.stop(), 0);
});

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const hmac = (text: string, encoding: "hex" | "base64", key: string | Uint8Array = SECRET) =>
  createHmac("sha256", key).update(text).digest(encoding);

/** Each scheme: the headers of a request, with the signature passed through `change`. */
const SCHEMES: Record<
  string,
  (body: string, at: string, change: (signature: string) => string) => Record<string, string>
> = {
  standard: (body, at, change) => ({
    "webhook-id": "m1",
    "webhook-timestamp": at,
    "webhook-signature": `v1,${change(hmac(`m1.${at}.${body}`, "base64", Uint8Array.fromBase64(SECRET.slice(6))))}`,
  }),
  github: (body, _, change) => ({
    "x-github-event": "push",
    "x-hub-signature-256": `sha256=${change(hmac(body, "hex"))}`,
  }),
  stripe: (body, at, change) => ({ "stripe-signature": `t=${at},v1=${change(hmac(`${at}.${body}`, "hex"))}` }),
  slack: (body, at, change) => ({
    "x-slack-request-timestamp": at,
    "x-slack-signature": `v0=${change(hmac(`v0:${at}:${body}`, "hex"))}`,
  }),
  bearer: (_body, _at, change) => ({ authorization: `Bearer ${change(SECRET)}` }),
  own: (body, _, change) => ({ "x-sig": change(hmac(body, "base64")) }),
};
const BODY = '{"id":"evt_1","type":"paid"}';

/** A different signature: shorter, longer, with other characters, empty. */
const other = fc.tuple(fc.nat(), fc.nat(70), fc.string({ unit: fc.constantFrom(..."0fAz+/-_") })).map(
  ([at, cut, put]) => (signature: string) => {
    const from = at % (signature.length + 1);
    const changed = signature.slice(0, from) + put + signature.slice(from + cut);
    return changed === signature ? "" : changed;
  },
);

async function withSchemes(work: (program: Program) => Promise<void>): Promise<void> {
  const auth = (name: string) => name === "own" ? "{ hmac: sha256, header: X-Sig, encoding: base64 }" : name;
  await using folder = await rulesFolder(Object.fromEntries(
    Object.keys(SCHEMES).map((name) => [
      `${name}.yaml`,
      `when: { webhook: /${name}, auth: ${auth(name)}, secret: SIGNING }\nlimit: none\nthen:\n  - log: got ${name}\n`,
    ]),
  ));
  await using program = start(folder.rules, { data: folder.data, env: { SIGNING: SECRET } });
  await program.url();
  await work(program);
  assert.equal(await program.stop(), 0);
}

Deno.test("wrong, cut, old or foreign signatures: 401 each time; the right one is accepted", () =>
  withSchemes(async (program) => {
    const now = () => Math.floor(Date.now() / 1_000);
    const send = async (name: string, headers: Record<string, string>, body = BODY) => {
      const init = { method: "POST", headers: { "content-type": "application/json", ...headers }, body };
      const response = await program.fetch(`/hooks/${name}`, init);
      await response.body?.cancel();
      return response.status;
    };
    const same = (signature: string) => signature;
    for (const [name, sign] of Object.entries(SCHEMES)) {
      assert.equal(await send(name, sign(BODY, String(now()), same)), 202, name);
      if (/standard|stripe|slack/.test(name)) {
        for (const age of [-400, 400, 1e9]) {
          assert.equal(await send(name, sign(BODY, String(now() - age), same)), 401, name);
        }
      }
      const headers = Object.entries(sign(BODY, String(now()), same)).map(([name, value]) => `${name}: ${value}\r\n`);
      const signature = headers.pop()!;
      const bad = signature.replace(/.{4}\r\n$/, "0000\r\n");
      const common = "host: x\r\ncontent-type: application/json\r\n";
      const head = `POST /hooks/${name} HTTP/1.1\r\n${common}content-length: ${BODY.length}\r\n${headers.join("")}`;
      for (const twice of [[signature, bad], [bad, signature]]) {
        const raw = await rawRequest(await program.url(), [`${head}${twice.join("")}\r\n${BODY}`], {
          timeout: TIMEOUT,
        });
        assert.match(raw, /^HTTP\/1\.1 40[01]/, `${name} signed twice`);
      }
    }
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.keys(SCHEMES)), other, async (name, change) => {
        assert.equal(await send(name, SCHEMES[name](BODY, String(now()), change)), 401);
      }),
      { numRuns },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("standard", "github", "stripe", "slack", "own"),
        mutated(fc.constant(BODY)),
        async (name, body) => {
          fc.pre(body !== BODY);
          assert.equal(await send(name, SCHEMES[name](BODY, String(now()), same), body), 401);
        },
      ),
      { numRuns },
    );
  }));
