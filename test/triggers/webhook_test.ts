import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { gzipSync } from "node:zlib";
import examples from "@octokit/webhooks-examples/api.github.com/index.json" with { type: "json" };
import { Webhook } from "standardwebhooks";
import type { JsonObject } from "../../runtime/model/json.ts";
import type { Hook } from "../../runtime/triggers/trigger.ts";
import { receive, type Received, webhook, type WebhookRequest } from "../../runtime/triggers/webhook.ts";
import { parseArgs, Program, START } from "./fake_context.ts";

const secrets: Record<string, string> = {
  GITHUB: "It's a Secret to Everybody",
  OLD: "an older one",
  EMPTY: "",
  STANDARD: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  STRIPE: "whsec_test_secret",
  SLACK: "8f742231b10e8888abcd99yyyzzz85a5",
  LOGIN: "anna:p:ss wörd",
  TOKEN: "t0k3n",
};

function request(body: string | Uint8Array, headers: Record<string, string> = {}, more: Partial<WebhookRequest> = {}) {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return {
    method: "POST",
    path: "/hook",
    params: {},
    query: {},
    headers: { "content-type": "application/json", ...headers },
    body: bytes,
    ...more,
  };
}

function send(args: JsonObject, what: WebhookRequest, now = START): Received {
  const parsed = parseArgs(webhook, { webhook: "/hook", ...args }) as Hook["args"];
  return receive(parsed, what, now, (name) => secrets[name]);
}

function accepted(received: Received) {
  if (received.kind !== "events") assert.fail(received.kind === "refused" ? received.message : received.kind);
  const { events } = received;
  assert.equal(events.length, 1);
  return events[0];
}

function refused(received: Received, status: number): string {
  assert.equal(received.kind, "refused", JSON.stringify(received));
  const { status: found, message } = received as Received & { kind: "refused" };
  assert.equal(found, status);
  return message;
}

const hex = (secret: string, text: string | Uint8Array, algorithm = "sha256") =>
  createHmac(algorithm, secret).update(text).digest("hex");

Deno.test("the published vector of Standard Webhooks is accepted at its time, and refused after five minutes", () => {
  // From the specification and the reference implementations: github.com/standard-webhooks/standard-webhooks
  const vector = request('{"test": 2432232314}', {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  });
  const args = { auth: "standard", secret: "STANDARD" };
  const event = accepted(send(args, vector, 1614265330_000));
  assert.equal(event.id, "msg_p5jXN8AQM9LWM0D4loKWxJek");
  assert.deepEqual(event.data, { test: 2432232314 });
  accepted(send(args, vector, 1614265330_000 + 300_000));
  for (const late of [301_000, -301_000]) {
    assert.match(refused(send(args, vector, 1614265330_000 + late), 401), /webhook-timestamp is more than 300 seconds/);
  }
});

Deno.test("signatures of the Standard Webhooks library are accepted, with any of several signatures and secrets", () => {
  const body = '{"type":"contact.created"}';
  const signature = new Webhook(secrets.STANDARD).sign("msg_1", new Date(START), body);
  const headers = { "webhook-id": "msg_1", "webhook-timestamp": `${START / 1_000}` };
  const args = { auth: "standard", secret: ["GITHUB", "STANDARD"] };
  accepted(send(args, request(body, { ...headers, "webhook-signature": `v1,AAAA v1a,BBBB ${signature}` })));
  const other = request(`${body} `, { ...headers, "webhook-signature": signature });
  assert.match(refused(send(args, other), 401), /does not match/);
  assert.match(refused(send(args, request(body, headers)), 401), /are needed/);
});

Deno.test("Stripe's scheme is accepted with any of its v1 signatures, with the event's id and type", () => {
  // https://docs.stripe.com/webhooks#verify-manually
  const body = JSON.stringify(
    { id: "evt_1", object: "event", type: "invoice.paid", data: { object: { amount: 5 } } },
    null,
    2,
  );
  const time = START / 1_000;
  const signature = hex(secrets.STRIPE, `${time}.${body}`);
  const args = { auth: "stripe", secret: "STRIPE" };
  const signed = request(body, { "stripe-signature": `t=${time},v1=${"0".repeat(64)},v1=${signature},v0=6ffbb59b` });
  const event = accepted(send(args, signed));
  assert.equal(event.id, "evt_1");
  assert.equal(event.type, "stripe.invoice.paid");
  assert.equal(event.http.headers["stripe-signature"], undefined);
  refused(send(args, signed, START + 301_000), 401);
  refused(send(args, request(body, { "stripe-signature": `t=${time},v0=${signature}` })), 401);
  refused(send(args, request(body, { "stripe-signature": `t=${time + 1},v1=${signature}` })), 401);
  refused(send(args, request(body, { "stripe-signature": "nonsense" })), 401);
});

Deno.test("the published vector of Slack is accepted; its handshake is answered only if signed", () => {
  // https://docs.slack.dev/authentication/verifying-requests-from-slack
  const body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V" +
    "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=" +
    "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN" +
    "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
  const args = { auth: "slack", secret: "SLACK" };
  const vector = request(body, {
    "content-type": "application/x-www-form-urlencoded",
    "x-slack-request-timestamp": "1531420618",
    "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
  });
  const command = accepted(send(args, vector, 1531420618_000));
  assert.equal(command.type, "slack.command");
  assert.equal((command.data as JsonObject).command, "/webhook-collect");

  const sign = (text: string) => ({
    "x-slack-request-timestamp": `${START / 1_000}`,
    "x-slack-signature": `v0=${hex(secrets.SLACK, `v0:${START / 1_000}:${text}`)}`,
  });
  const challenge = JSON.stringify({
    type: "url_verification",
    challenge: "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
  });
  const answer = send(args, request(challenge, sign(challenge)));
  assert.equal(answer.kind, "handshake");
  assert.equal(
    (answer as Received & { kind: "handshake" }).body,
    "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
  );
  refused(send(args, request(challenge, sign(`${challenge} `))), 401);

  const mention = JSON.stringify({
    type: "event_callback",
    event_id: "Ev1",
    event: { type: "app_mention", text: "hi" },
  });
  const event = accepted(send(args, request(mention, sign(mention))));
  assert.deepEqual([event.id, event.type], ["Ev1", "slack.app_mention"]);
});

Deno.test("GitHub's published vector and all its example payloads are accepted; a ping is answered", () => {
  const args = { auth: "github", secret: ["OLD", "GITHUB"] };
  // https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
  const vector = request("Hello, World!", {
    "content-type": "text/plain",
    "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
  });
  assert.equal(accepted(send(args, vector)).data, "Hello, World!");
  let count = 0;
  for (const { name, examples: payloads } of examples as { name: string; examples: JsonObject[] }[]) {
    for (const payload of payloads) {
      const body = JSON.stringify(payload);
      const id = `delivery-${++count}`;
      const headers = {
        "x-github-event": name,
        "x-github-delivery": id,
        "x-hub-signature-256": `sha256=${hex(secrets.GITHUB, body)}`,
      };
      const received = send(args, request(body, headers));
      if (name === "ping") {
        assert.equal(received.kind, "handshake");
        continue;
      }
      const event = accepted(received);
      assert.deepEqual([event.id, event.type], [id, `github.${name}`]);
      assert.deepEqual(event.data, payload);
      assert.equal(event.http.headers["x-hub-signature-256"], undefined);
      assert.equal(event.http.headers["x-github-event"], name);
    }
  }
  assert.ok(count > 200, `${count} payloads`);
});

Deno.test("GitHub's form deliveries have the payload in a field", () => {
  const body = `payload=${encodeURIComponent('{"ref":"refs/heads/main"}')}`;
  const headers = {
    "content-type": "application/x-www-form-urlencoded",
    "x-github-event": "push",
    "x-hub-signature-256": `sha256=${hex(secrets.GITHUB, body)}`,
  };
  assert.deepEqual(accepted(send({ auth: "github", secret: "GITHUB" }, request(body, headers))).data, {
    ref: "refs/heads/main",
  });
});

Deno.test("signatures are over raw bytes: two texts of one value differ, and so do bytes that are not text", () => {
  const args = { auth: "github", secret: "GITHUB" };
  const sign = (bytes: Uint8Array) => ({
    "content-type": "application/octet-stream",
    "x-hub-signature-256": `sha256=${hex(secrets.GITHUB, bytes)}`,
  });
  const [left, right] = [new Uint8Array([0xff, 0x61]), new Uint8Array([0xfe, 0x61])];
  assert.equal(accepted(send(args, request(left, sign(left)))).data, Buffer.from(left).toString("base64"));
  refused(send(args, request(right, sign(left))), 401);
});

Deno.test("a custom HMAC has header, encoding, prefix and algorithm", () => {
  const body = '{"a":1}';
  for (const hmac of ["sha1", "sha256", "sha512"] as const) {
    for (const encoding of ["hex", "base64"] as const) {
      const signature = createHmac(hmac, secrets.TOKEN).update(body).digest(encoding);
      const args = { auth: { hmac, header: "X-Sig", encoding, prefix: "v=" }, secret: "TOKEN" };
      const event = accepted(send(args, request(body, { "x-sig": `v=${signature}` })));
      assert.equal(event.http.headers["x-sig"], undefined);
      refused(send(args, request(body, { "x-sig": signature })), 401);
      refused(send(args, request(body)), 401);
    }
  }
});

Deno.test("basic and bearer compare with the secret", () => {
  const basic = (login: string) => request("{}", { authorization: `Basic ${Buffer.from(login).toString("base64")}` });
  accepted(send({ auth: "basic", secret: "LOGIN" }, basic("anna:p:ss wörd")));
  assert.equal(
    refused(send({ auth: "basic", secret: "LOGIN" }, basic("anna:wrong")), 401),
    "The user name or the password is wrong",
  );
  accepted(send({ auth: "bearer", secret: "TOKEN" }, request("{}", { authorization: "bearer t0k3n" })));
  refused(send({ auth: "bearer", secret: "TOKEN" }, request("{}", { authorization: "Bearer t0k3nn" })), 401);
  refused(send({ auth: "bearer", secret: "TOKEN" }, request("{}")), 401);
});

Deno.test("the header names of Svix are those of Standard Webhooks, with the same signature", () => {
  const body = '{"type":"user.created"}';
  const signature = new Webhook(secrets.STANDARD).sign("msg_2", new Date(START), body);
  const headers = { "svix-id": "msg_2", "svix-timestamp": `${START / 1_000}`, "svix-signature": signature };
  const args = { auth: "standard", secret: "STANDARD" };
  const event = accepted(send(args, request(body, headers)));
  assert.deepEqual([event.id, event.http.leftOut], ["msg_2", ["svix-signature"]]);
  assert.match(refused(send(args, request(`${body} `, headers)), 401), /svix-signature does not match/);
  assert.match(refused(send(args, request(body, headers), START + 301_000), 401), /svix-timestamp is more than 300/);
});

Deno.test("headers that no signature covers give an event no other identity", () => {
  const body = '{"id":"evt_1","type":"a.b"}';
  const signature = new Webhook(secrets.STANDARD).sign("msg_2", new Date(START), body);
  const forged = {
    "ce-specversion": "1.0",
    "ce-id": "forged",
    "ce-source": "/forged",
    "ce-type": "forged",
    "webhook-id": "forged",
  };
  const svix = { "svix-id": "msg_2", "svix-timestamp": `${START / 1_000}`, "svix-signature": signature };
  const one = accepted(send({ auth: "standard", secret: "STANDARD" }, request(body, { ...svix, ...forged })));
  assert.deepEqual([one.id, one.ce], ["msg_2", undefined]);
  const stripe = `t=${START / 1_000},v1=${hex(secrets.STRIPE, `${START / 1_000}.${body}`)}`;
  const sent = request(body, { ...forged, "stripe-signature": stripe });
  const other = accepted(send({ auth: "stripe", secret: "STRIPE" }, sent));
  assert.deepEqual([other.id, other.type, other.ce], ["evt_1", "stripe.a.b", undefined]);
  const hmac = { auth: { hmac: "sha256", header: "X-Sign" }, secret: "TOKEN", dedupe: "event.data.id" };
  assert.equal(accepted(send(hmac, request(body, { ...forged, "x-sign": hex(secrets.TOKEN, body) }))).ce, undefined);
  const token = { auth: { token: "X-Token" }, secret: "TOKEN" };
  assert.equal(accepted(send(token, request(body, { ...forged, "x-token": secrets.TOKEN }))).ce?.id, "forged");
});

Deno.test("gitlab and telegram send the secret in a header of their own, which the event leaves out", () => {
  const push = request('{"object_kind":"push","ref":"refs/heads/main"}', {
    "x-gitlab-token": "t0k3n",
    "x-gitlab-event": "Push Hook",
    "idempotency-key": "b1a4",
  });
  const event = accepted(send({ auth: "gitlab", secret: "TOKEN" }, push));
  assert.deepEqual([event.type, event.id, event.http.leftOut], ["gitlab.push", "b1a4", ["x-gitlab-token"]]);
  const system = request('{"event_name":"project_create"}', { "x-gitlab-token": "t0k3n" });
  assert.equal(accepted(send({ auth: "gitlab", secret: "TOKEN" }, system)).type, "gitlab.project_create");
  assert.match(
    refused(send({ auth: "gitlab", secret: "STRIPE" }, push), 401),
    /^The token in X-Gitlab-Token is wrong$/,
  );
  assert.match(refused(send({ auth: "gitlab", secret: "TOKEN" }, request("{}")), 401), /X-Gitlab-Token with the token/);

  const update = request('{"update_id":10000,"message":{"text":"/start"}}', {
    "x-telegram-bot-api-secret-token": "t0k3n",
  });
  const message = accepted(send({ auth: "telegram", secret: ["OLD", "TOKEN"] }, update));
  assert.deepEqual([message.type, message.id], ["telegram.message", "10000"]);
  refused(send({ auth: "telegram", secret: "OLD" }, update), 401);
});

Deno.test("shopify signs the raw body in base64; its topic is the type, its delivery id the identity", () => {
  const body = '{"id":820982911946154508,"email":"jon@example.com"}';
  const signature = createHmac("sha256", secrets.TOKEN).update(body).digest("base64");
  const headers = {
    "x-shopify-hmac-sha256": signature,
    "x-shopify-topic": "orders/create",
    "x-shopify-webhook-id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
  };
  const event = accepted(send({ auth: "shopify", secret: "TOKEN" }, request(body, headers)));
  assert.deepEqual([event.type, event.id], ["shopify.orders.create", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"]);
  refused(send({ auth: "shopify", secret: "TOKEN" }, request(`${body} `, headers)), 401);
});

Deno.test("auth { token: HEADER } compares a header with the secret", () => {
  const args = { auth: { token: "X-Api-Key" }, secret: "TOKEN" };
  const event = accepted(send(args, request("{}", { "x-api-key": "t0k3n" })));
  assert.deepEqual([event.http.headers["x-api-key"], event.http.leftOut], [undefined, ["x-api-key"]]);
  refused(send(args, request("{}", { "x-api-key": "t0k3" })), 401);
  refused(send(args, request("{}")), 401);
});

Deno.test("an HMAC may be of a text with the time, as Zoom's v0:{timestamp}:{body}, in seconds, milliseconds or RFC 3339", () => {
  const body = '{"event":"meeting.started"}';
  const auth = {
    hmac: "sha256",
    header: "x-zm-signature",
    prefix: "v0=",
    signed: "v0:{timestamp}:{body}",
    timestamp: "x-zm-request-timestamp",
  };
  const zoom = (time: string, more: object = {}) =>
    send(
      { auth: { ...auth, ...more }, secret: "SLACK" } as JsonObject,
      request(body, {
        "x-zm-request-timestamp": time,
        "x-zm-signature": `v0=${hex(secrets.SLACK, `v0:${time}:${body}`)}`,
      }),
    );
  const seconds = START / 1_000;
  for (const time of [`${seconds}`, `${START}`, new Date(START).toISOString(), `${seconds - 299}`]) {
    accepted(zoom(time));
  }
  for (const time of [`${seconds - 301}`, `${seconds + 301}`, "now", "", `${seconds}s`]) refused(zoom(time), 401);
  accepted(zoom(`${seconds - 899}`, { tolerance: "15m" }));
  assert.match(refused(zoom(`${seconds - 61}`, { tolerance: "1m" }), 401), /is more than 60 seconds from ours/);
  const unsigned = request(body, { "x-zm-signature": "v0=x" });
  assert.match(refused(send({ auth, secret: "SLACK" }, unsigned), 401), /x-zm-request-timestamp with the time/);
});

Deno.test("a compressed body may be signed as it was sent, or before it was compressed", () => {
  const body = '{"a":1}';
  const packed = gzipSync(body);
  const args = { auth: "github", secret: "GITHUB" };
  for (const signed of [body, packed]) {
    const headers = { "x-hub-signature-256": `sha256=${hex(secrets.GITHUB, signed)}` };
    assert.deepEqual(accepted(send(args, request(body, headers, { packed }))).data, { a: 1 });
  }
  const headers = { "x-hub-signature-256": `sha256=${hex(secrets.GITHUB, "else")}` };
  refused(send(args, request(body, headers, { packed })), 401);
});

Deno.test("a CloudEvent on a hook is the same event in structured and binary mode; its type is in ce", () => {
  const ce = {
    specversion: "1.0",
    id: "1",
    source: "/s",
    type: "order.created",
    subject: "A1",
    comexampleprio: "high",
  };
  const one = accepted(
    send(
      { auth: "none" },
      request(JSON.stringify({ ...ce, data: { x: 1 } }), { "content-type": "application/cloudevents+json" }),
    ),
  );
  const headers = Object.fromEntries(Object.entries(ce).map(([name, value]) => [`ce-${name}`, value]));
  const other = accepted(send({ auth: "none" }, request('{"x":1}', headers)));
  const { http: _one, ...structured } = one;
  const { http: _other, ...binary } = other;
  assert.deepEqual(JSON.parse(JSON.stringify(structured)), JSON.parse(JSON.stringify(binary)));
  assert.deepEqual(JSON.parse(JSON.stringify(structured)), {
    id: '["/s","1"]',
    type: "webhook",
    subject: "A1",
    data: { x: 1 },
    ce: { ...ce, datacontenttype: "application/json" },
  });
  const wrong = request(JSON.stringify({ ...ce, id: "" }), { "content-type": "application/cloudevents+json" });
  assert.match(refused(send({ auth: "none" }, wrong), 400), /^The body is not a CloudEvent: id: /);
  const own = accepted(send({ auth: "none", dedupe: "event.ce.comexampleprio" }, request('{"x":1}', headers)));
  assert.equal(own.id, "high");
});

Deno.test("a secret that is not set, or empty, lets nobody in", () => {
  for (const secret of ["NOT_SET", "EMPTY"]) {
    const headers = { "x-hub-signature-256": `sha256=${hex("", "{}")}` };
    const message = refused(send({ auth: "github", secret }, request("{}", headers)), 401);
    assert.equal(message, "No secret is set for this hook, so nothing can be verified");
  }
});

Deno.test("bodies are read by their content type", () => {
  const data = (body: string | Uint8Array, type: string) =>
    accepted(send({ auth: "none" }, request(body, { "content-type": type }))).data;
  assert.deepEqual(data('{"a":1}', "application/vnd.api+json; charset=utf-8"), { a: 1 });
  assert.deepEqual(data("a=1&b=x+y&b=%C3%A9", "application/x-www-form-urlencoded"), { a: "1", b: ["x y", "é"] });
  assert.deepEqual(data('{"a":1}', "application/x-www-form-urlencoded"), { a: 1 }, "what curl -d sends");
  assert.deepEqual(data('{"a":1}', ""), { a: 1 });
  assert.equal(data("just text", ""), "just text");
  assert.equal(data("<a/>", "application/xml"), "<a/>");
  assert.equal(data(new Uint8Array([0xe9]), "text/plain; charset=iso-8859-1"), "é");
  assert.equal(data(new Uint8Array([0xe9]), "text/plain; charset = 'windows-1252'"), "é");
  const xml = '<?xml version="1.0" encoding="iso-8859-1"?><a>é</a>';
  assert.equal(data(Buffer.from(xml, "latin1"), "text/xml"), xml);
  const form = "application/x-www-form-urlencoded; charset=";
  assert.deepEqual(data("n%E4me=%FC+%2B%26&b", `${form}ISO-8859-1`), { näme: "ü +&", b: "" });
  assert.deepEqual(data("a=%83%65%83X%83g", `${form}Shift_JIS`), { a: "テスト" });
  assert.equal(data(new Uint8Array([1, 2, 255]), "image/png"), "AQL/");
  assert.equal(data("ok", "text/plain; charset=klingon"), "b2s=", "a charset that nobody knows: the bytes");
  assert.equal(data("", "application/json"), null);
});

Deno.test("a body that is not valid JSON despite its type is refused with the reason", () => {
  const klingon = { "content-type": "application/json; charset=klingon" };
  assert.match(refused(send({ auth: "none" }, request("{}", klingon)), 400), /charset that the content type names/);
  const message = refused(send({ auth: "none" }, request('{"a": ')), 400);
  assert.match(message, /^The body is not valid JSON, although its content type is application\/json: ./);
  const latin = refused(send({ auth: "none" }, request(new Uint8Array([0x22, 0xe9, 0x22]))), 400);
  assert.match(latin, /application\/json: it is not text in UTF-8/);
});

Deno.test("names such as __proto__ are plain data", () => {
  const event = accepted(
    send({ auth: "none" }, request('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}')),
  );
  accepted(
    send(
      { auth: "none" },
      request("__proto__[polluted]=1&__proto__=2", { "content-type": "application/x-www-form-urlencoded" }),
    ),
  );
  assert.equal(({} as { polluted?: number }).polluted, undefined);
  assert.equal((event.data as { polluted?: number }).polluted, undefined);
});

Deno.test("Authorization, Cookie and the verified signature are left out of the event, which says so; other headers are kept", () => {
  const headers = {
    authorization: "Bearer t0k3n",
    cookie: "session=1",
    ...OTHERS,
  };
  const event = accepted(send({ auth: "none" }, request("{}", headers, { params: { sku: "A" }, query: { q: "1" } })));
  assert.deepEqual(event.http, {
    method: "POST",
    path: "/hook",
    params: { sku: "A" },
    query: { q: "1" },
    headers: { "content-type": "application/json", ...OTHERS },
    leftOut: ["authorization", "cookie"],
  });
  const args = { auth: { hmac: "sha256", header: "X-Sig", encoding: "hex", prefix: "" }, secret: "TOKEN" };
  const signed = accepted(send(args, request("{}", { "x-sig": hex(secrets.TOKEN, "{}"), ...OTHERS })));
  assert.deepEqual(signed.http.leftOut, ["x-sig"]);
  assert.deepEqual(signed.http.headers, { "content-type": "application/json", ...OTHERS });
  assert.equal(accepted(send({ auth: "none" }, request("{}", OTHERS))).http.leftOut, undefined);
});

/** Their names look like credentials; to the program they are data. */
const OTHERS = {
  "x-gitlab-token": "x",
  "x-api-key": "x",
  "x-hub-signature": "x",
  "x-goog-signature": "x",
  "x-secret-santa": "x",
  "user-agent": "curl/8",
};

Deno.test("an event's identity is what dedupe says, else the provider's id, else new each time", () => {
  const id = (args: JsonObject, body: string, headers: Record<string, string> = {}) =>
    accepted(send({ auth: "none", ...args }, request(body, headers))).id;
  assert.equal(id({ dedupe: "event.data.id" }, '{"id": "a"}', { "idempotency-key": "k" }), "a");
  assert.equal(id({ dedupe: "event.data.id" }, '{"id": 7}'), "7");
  assert.equal(id({ dedupe: "event.http.headers['x-id']" }, "{}", { "x-id": "h" }), "h");
  assert.equal(
    id({ dedupe: "hash(event.data)" }, '{"a":1,"b":2}'),
    id({ dedupe: "hash(event.data)" }, '{"b":2,"a":1}'),
  );
  assert.equal(id({ dedupe: "event.data.id" }, "{}", { "idempotency-key": "k" }), "k", "dedupe finds nothing");
  assert.equal(id({}, "{}", { "webhook-id": "msg_1" }), "msg_1");
  assert.notEqual(id({}, "{}"), id({}, "{}"));
  assert.equal(id({ dedupe: "event.data.id" }, JSON.stringify({ id: "x".repeat(5_000) })).length, 64);
});

Deno.test("within is passed on with the event", () => {
  const received = send({ auth: "none", dedupe: "hash(event.data)", within: "10m" }, request("{}"));
  assert.equal((received as Received & { kind: "events" }).within, 600_000);
});

Deno.test("a webhook registers its path while it is attached", async () => {
  const program = new Program(webhook, { webhook: "/price/:sku", auth: "none", method: "GET" });
  await program.attach();
  const [hook] = program.hooks;
  assert.deepEqual([hook.rule, hook.trigger, hook.path, hook.args.method], ["test", "trigger", "/price/:sku", "GET"]);
  await program.detach();
  assert.equal(program.hooks.size, 0);
});

Deno.test("impossible options are problems: paths, auth without secret, secret without auth", () => {
  const check = (args: JsonObject) => webhook.check!(parseArgs(webhook, args), START);
  assert.deepEqual(check({ webhook: "/a/:id", auth: "none" }), []);
  assert.deepEqual(check({ webhook: "price", auth: "none" }), [
    'expected a path such as /github or /price/:sku, got "price"',
  ]);
  assert.deepEqual(check({ webhook: "/a", auth: "github" }), [
    '"auth: github" needs "secret"; add the name of the secret that requests are checked with, as in secret: HOOK_SECRET',
  ]);
  assert.deepEqual(check({ webhook: "/a", auth: "none", secret: "X" }), [
    '"auth: none" checks nothing, so "secret" has no use',
  ]);
  const address = (method: string | string[]) =>
    webhook.address(parseArgs(webhook, { webhook: "/a", auth: "none", method }));
  assert.deepEqual([address("POST"), address("GET"), address(["GET", "POST"])], [
    "webhook /a",
    "webhook GET /a",
    "webhook GET,POST /a",
  ]);
});

Deno.test("a signed text needs the body, and the time if there is one; what has no use is a problem", () => {
  const check = (auth: JsonObject) =>
    webhook.check!(
      parseArgs(webhook, { webhook: "/a", secret: "X", auth: { hmac: "sha256", header: "X-Sig", ...auth } }),
      START,
    );
  assert.deepEqual(check({}), []);
  assert.deepEqual(check({ signed: "{timestamp}.{body}", timestamp: "X-Ts", tolerance: "1m" }), []);
  assert.match(check({ signed: "{time}.{body}" })[0], /knows {timestamp} and {body}, got {time}/);
  assert.match(check({ signed: "{timestamp}", timestamp: "X-Ts" })[0], /needs {body}/);
  assert.match(check({ signed: "{timestamp}.{body}" })[0], /needs "timestamp"/);
  assert.match(check({ timestamp: "X-Ts" })[0], /"timestamp" has no use unless it is signed/);
  assert.match(check({ tolerance: "1m" })[0], /"tolerance" needs "timestamp"/);
});

Deno.test("a signature header sent twice, once valid and once not, is refused", () => {
  const now = String(START / 1_000);
  const body = '{"type":"x"}';
  const good = createHmac("sha256", Buffer.from("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64"));
  const standard = `v1,${good.update(`m1.${now}.${body}`).digest("base64")}`;
  const stripe = `t=${now},v1=${hex(secrets.STRIPE, `${now}.${body}`)}`;
  for (const twice of [[standard, "v1,bad"], ["v1,bad", standard]]) {
    const headers = { "webhook-id": "m1", "webhook-timestamp": now, "webhook-signature": twice.join(", ") };
    refused(send({ auth: "standard", secret: "STANDARD" }, request(body, headers)), 401);
  }
  for (const twice of [[stripe, `t=${now},v1=bad`], [`t=${now},v1=bad`, stripe]]) {
    refused(send({ auth: "stripe", secret: "STRIPE" }, request(body, { "stripe-signature": twice.join(", ") })), 401);
  }
  refused(send({ auth: "none" }, request(body, { "content-type": "application/json, text/plain" })), 400);
});
