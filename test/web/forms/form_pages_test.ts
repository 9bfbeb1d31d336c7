import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { SavedFile } from "../../../runtime/model/event.ts";
import type { Field } from "../../../runtime/model/rule.ts";
import { hashToken } from "../../../runtime/secrets/passwords.ts";
import { StoreFullError } from "../../../runtime/store/store.ts";
import { fieldMarkup, labelOf } from "../../../runtime/web/forms/fields.ts";
import { NOW } from "../harness.ts";
import { ANNA, CARL, FIELDS, FormsBench, hiddenInputs } from "./harness.ts";

const HOUR = 3_600_000;

Deno.test("the list shows forms for me and my groups, oldest first, and none of others", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({ title: "First", to: ["finance"] }, "f1");
  await bench.web.clock.advanceTo(NOW + HOUR);
  await bench.ask({ title: "Second", to: ["anna"], due: undefined }, "f2");
  await bench.ask({ title: "Third", to: ["Anna@Example.org"] }, "f3");
  await bench.ask({ title: "Secret of Carl", to: ["carl"] }, "f4");
  await bench.signIn();
  const { status, text } = await bench.get("/forms");
  assert.equal(status, 200);
  const titles = [...text.matchAll(/<a href="\/forms\/f\d">(\w+)<\/a>/g)].map(([, title]) => title);
  assert.deepEqual(titles, ["First", "Second", "Third"]);
  const written = process.env.TZ ? "21 Nov 2026, \\d\\d:\\d\\d [^<]+" : "21 Nov 2026, 08:00 UTC";
  assert.match(
    text,
    new RegExp(`shop/refund, since <time datetime="2026-11-21T08:00:00.000Z">${written}</time> \\(1 hour ago\\)`),
  );
  assert.match(text, /until <time datetime="2026-11-22T08:00:00.000Z">.*?<\/time> \(in 23 hours\)/);
  await bench.web.clock.advanceTo(NOW + HOUR + 2_000);
  assert.match((await bench.get("/forms")).text, /\(in 23 hours\)/, "two seconds are not shown as an hour");
  assert.match(text, /Signed in as Anna Smith/);
  assert.doesNotMatch(text, /Carl/);
});

Deno.test("a list of hundreds is paged; an empty one says so", async () => {
  await using bench = await FormsBench.open();
  await bench.signIn();
  assert.match((await bench.get("/forms")).text, /Nothing waits for you/);
  for (let index = 100; index < 160; index++) await bench.ask({}, `f${index}`);
  const first = (await bench.get("/forms")).text;
  const next = /href="(\/forms\?after=[^"]+)"/.exec(first)![1];
  const second = (await bench.get(next)).text;
  const ids = [first, second].map((text) => [...text.matchAll(/\/forms\/(f\d+)"/g)].map(([, id]) => id));
  assert.deepEqual(ids.map(({ length }) => length), [50, 10]);
  assert.equal(new Set(ids.flat()).size, 60);
  assert.doesNotMatch(second, /after=/);
});

Deno.test("a visitor who is not signed in is redirected to sign in, then back to the form and nowhere else", async () => {
  await using bench = await FormsBench.open();
  await bench.ask();
  const asked = await bench.get("/forms/f1");
  assert.deepEqual([asked.status, asked.headers.get("location")], [303, "/forms/sign-in?to=%2Fforms%2Ff1"]);
  assert.equal((await bench.get("/forms")).headers.get("location"), "/forms/sign-in?to=%2Fforms");
  assert.equal((await bench.post("/forms/f1", { decision: "approve" })).status, 303);
  const page = await bench.get("/forms/sign-in?to=/forms/f1");
  assert.deepEqual(hiddenInputs(page.text), { to: "/forms/f1" });
  const signedIn = await bench.fill("/forms/sign-in?to=/forms/f1", { name: "anna", password: "correct horse" });
  assert.deepEqual([signedIn.status, signedIn.headers.get("location")], [303, "/forms/f1"]);
  for (const to of ["//evil.example", "/\\evil.example", "https://evil.example", "../..", "/f1\r\nx: y", ""]) {
    bench.signOut();
    const answer = await bench.post("/forms/sign-in", { name: "anna", password: "correct horse", to });
    assert.equal(answer.headers.get("location"), "/forms", to);
    const shown = await bench.get(`/forms/sign-in?to=${encodeURIComponent(to)}`);
    assert.doesNotMatch(shown.text, /name="to"/);
  }
});

Deno.test("an answer resumes the run and redirects to a thank-you page; a second one learns who was first", async () => {
  await using bench = await FormsBench.open();
  await bench.ask();
  await bench.signIn();
  const inputs = { decision: "approve", reason: "It is\r\nfine" };
  const { text } = await bench.get("/forms/f1");
  const answered = await bench.post("/forms/f1", { ...hiddenInputs(text), ...inputs });
  assert.deepEqual([answered.status, answered.headers.get("location")], [303, "/forms/f1/thanks"]);
  const form = await bench.web.store.getForm("f1");
  assert.deepEqual(form?.answer, {
    values: { decision: "approve", reason: "It is\nfine" },
    by: "anna",
    at: NOW,
    via: "page",
  });
  assert.deepEqual(bench.web.woken, [form!.run]);
  const thanks = await bench.get("/forms/f1/thanks");
  assert.equal(thanks.status, 200);
  assert.match(thanks.text, /Your answer to “Refund 250 EUR\?” has been taken/);
  // From another tab, opened before.
  const second = await bench.post("/forms/f1", { ...hiddenInputs(text), decision: "reject" });
  assert.equal(second.status, 409);
  assert.match(second.text, /You answered this form on <time datetime="2026-11-21T08:00:00.000Z"/);
  assert.equal((await bench.get("/forms/f1")).status, 409);
  assert.deepEqual(bench.web.woken, [form!.run]);
  const { notes } = (await bench.web.store.getRun(form!.run))!;
  assert.match(notes.at(-1)!.text, /answered by anna \(page\)/);
});

Deno.test("of two answers sent at the same time one counts", async () => {
  await using bench = await FormsBench.open();
  await bench.ask();
  await bench.signIn();
  const hidden = hiddenInputs((await bench.get("/forms/f1")).text);
  const send = (decision: string) => bench.post("/forms/f1", { ...hidden, decision });
  const statuses = (await Promise.all([send("approve"), send("reject")])).map(({ status }) => status);
  assert.deepEqual(statuses.sort(), [303, 409]);
});

Deno.test("invalid input is reported at the top and beside each field, and stays filled in", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({
    fields: {
      ...FIELDS,
      amount: { type: "number", required: true, min: 1, max: 100, title: "How much?" },
      pause: { type: "duration", required: false },
    },
  });
  await bench.signIn();
  const { status, text } = await bench.fill("/forms/f1", { reason: 'a "b" <c>', amount: "1000", pause: "soon" });
  assert.equal(status, 422);
  assert.match(text, /<title>Error: Refund 250 EUR\? · whenthen<\/title>/);
  const summary = text.slice(text.indexOf('class="summary"'), text.indexOf('<form method="post" action="/forms/f1"'));
  assert.match(summary, /role="alert" tabindex="-1" autofocus/);
  assert.match(summary, /<a href="#field-decision">Decision: An answer is needed<\/a>/);
  assert.match(summary, /<a href="#field-amount">How much\?: Expected at most 100, got 1000<\/a>/);
  assert.match(
    summary,
    /<a href="#field-pause">Pause: Expected a duration such as 30s, 5m or 2h, got &quot;soon&quot;<\/a>/,
  );
  assert.match(text, /<p class="error" id="field-amount-error">Expected at most 100/);
  assert.match(
    text,
    /<input id="field-amount"[^>]* aria-describedby="field-amount-error"[^>]* aria-invalid="true"[^>]* value="1000"/,
  );
  assert.match(text, /a &quot;b&quot; &lt;c&gt;<\/textarea>/);
  assert.equal((await bench.web.store.getForm("f1"))?.state, "open");
});

const PHOTO_FIELDS: Record<string, Field> = {
  photo: { type: "file", required: true, max: 1_000 },
  note: { type: "text", required: false },
};
const PHOTO = new Uint8Array([0xff, 0xd8, 0, 13, 10, 255]);

Deno.test("a form asks for a file: it is saved in the folder of its run, byte for byte", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({ fields: PHOTO_FIELDS });
  await bench.signIn();
  const { text } = await bench.get("/forms/f1");
  assert.match(text, /<form method="post" action="\/forms\/f1" accept-charset="utf-8" enctype="multipart\/form-data">/);
  assert.match(text, /<input id="field-photo" name="photo" required type="file">/);
  const none = await bench.upload("/forms/f1", { photo: new File([], ""), note: "x" });
  assert.deepEqual([none.status, /An answer is needed/.test(none.text)], [422, true]);
  const large = await bench.upload("/forms/f1", { photo: new File([new Uint8Array(1_001)], "a.jpg") });
  assert.match(large.text, /Expected a file of at most 1000 bytes, got 1001/);
  const huge = await bench.upload("/forms/f1", { photo: new File([new Uint8Array(300_000)], "a.jpg") });
  assert.deepEqual([huge.status, /longer than 263144 bytes/.test(huge.text)], [413, true]);
  const answered = await bench.upload("/forms/f1", {
    photo: new File([PHOTO], "../grüße.jpg", { type: "image/jpeg" }),
    note: "ü",
  });
  assert.equal(answered.status, 303);
  const { run, answer } = (await bench.web.store.getForm("f1"))!;
  const { photo, note } = answer!.values as { photo: SavedFile; note: string };
  assert.deepEqual([photo.name, photo.type, photo.bytes, note], ["grüße.jpg", "image/jpeg", 6, "ü"]);
  assert.ok(photo.path.startsWith(join(bench.web.folder, "files", run)), photo.path);
  assert.deepEqual(new Uint8Array(await readFile(photo.path)), PHOTO);
  const late = await bench.upload("/forms/f1", { photo: new File([PHOTO], "b.jpg") });
  assert.equal(late.status, 409);
  assert.equal((await readdir(join(bench.web.folder, "files", run))).length, 1);
});

Deno.test("the API takes files as multipart, and no value that only describes one", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({ fields: PHOTO_FIELDS });
  const described = { path: "/etc/passwd", name: "passwd", type: "text/plain", bytes: 1, sha256: "0" };
  const refused = await bench.web.post("/api/forms/f1", { as: "anna", values: { photo: described } });
  assert.equal(refused.status, 422);
  assert.match(refused.body.problems.photo, /^expected a file, sent as multipart\/form-data, got /);
  const body = new FormData();
  body.append("as", "anna");
  body.append("note", "hello");
  body.append("photo", new File([PHOTO], "a.jpg", { type: "image/jpeg" }));
  const two = new FormData();
  for (const [name, value] of [...body, ["photo", new File([PHOTO], "b.jpg")] as const]) two.append(name, value);
  assert.equal((await bench.web.ask("POST", "/api/forms/f1", { body: two })).status, 422);
  const { status, body: form } = await bench.web.ask("POST", "/api/forms/f1", { body });
  assert.equal(status, 200);
  assert.deepEqual([form.answer.by, form.answer.values.note, form.answer.values.photo.name], [
    "anna",
    "hello",
    "a.jpg",
  ]);
});

Deno.test("a field may have a name that every object inherits", async () => {
  await using bench = await FormsBench.open();
  const text: Field = { type: "text", required: false };
  const number: Field = { type: "number", required: true };
  await bench.ask({ fields: { constructor: text, valueOf: number } });
  await bench.signIn();
  const page = await bench.fill("/forms/f1", {});
  assert.equal(page.status, 422);
  assert.match(page.text, /<input id="field-constructor" name="constructor" value=""/);
  assert.doesNotMatch(page.text, /native code/);
});

Deno.test("another person gets 403 on GET and on POST, and learns nothing about the form", async () => {
  await using bench = await FormsBench.open([ANNA, { ...CARL, password: ANNA.password }]);
  await bench.ask();
  await bench.signIn("anna");
  const hidden = hiddenInputs((await bench.get("/forms/f1")).text);
  bench.signOut();
  await bench.signIn("carl");
  for (
    const shown of [await bench.get("/forms/f1"), await bench.post("/forms/f1", { ...hidden, decision: "approve" })]
  ) {
    assert.equal(shown.status, 403);
    assert.doesNotMatch(shown.text, /Refund|finance|Anna/);
  }
  assert.equal((await bench.get("/forms/f1/thanks")).status, 403);
  assert.equal((await bench.get("/forms/nonsense")).status, 404);
  assert.equal((await bench.web.store.getForm("f1"))?.state, "open");
  // After the escalation to him, it is his form, too.
  bench.web.people[1].groups.push("finance");
  assert.equal((await bench.get("/forms/f1")).status, 200);
});

Deno.test("a form that has expired, or whose run has ended, is 409 and says so", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({ title: "Late", due: NOW + HOUR }, "f1");
  await bench.ask({ title: "Gone" }, "f2");
  await bench.signIn();
  const hidden = hiddenInputs((await bench.get("/forms/f1")).text);
  const { run } = (await bench.web.store.getForm("f2"))!;
  await bench.web.store.cancelRun(run, "in a test", NOW);
  const gone = await bench.get("/forms/f2");
  assert.equal(gone.status, 409);
  assert.match(gone.text, /Nobody needs an answer any more/);
  await bench.web.clock.advanceTo(NOW + HOUR);
  for (
    const late of [await bench.get("/forms/f1"), await bench.post("/forms/f1", { ...hidden, decision: "approve" })]
  ) {
    assert.equal(late.status, 409);
    assert.match(
      late.text,
      /time to answer this form is over. It could be answered until <time datetime="2026-11-21T09:00/,
    );
  }
  assert.doesNotMatch((await bench.get("/forms")).text, /Late|Gone/);
});

Deno.test("requests from another site, or without the page's token, change nothing", async () => {
  await using bench = await FormsBench.open([ANNA, { ...CARL, groups: ["finance"], password: ANNA.password }]);
  await bench.ask();
  await bench.signIn("carl");
  const ofCarl = hiddenInputs((await bench.get("/forms/f1")).text);
  bench.signOut();
  await bench.signIn("anna");
  const hidden = hiddenInputs((await bench.get("/forms/f1")).text);
  const answer = { decision: "approve" };
  const attempts: [Record<string, string>, Record<string, string>][] = [
    [answer, {}],
    [{ ...answer, "csrf-token": "" }, {}],
    [{ ...answer, ...ofCarl }, {}],
    [{ ...answer, ...hidden }, { origin: "https://evil.example" }],
    [{ ...answer, ...hidden }, { origin: "null" }],
    [{ ...answer, ...hidden }, { "sec-fetch-site": "cross-site" }],
    [{ ...answer, ...hidden }, { "sec-fetch-site": "same-site" }],
  ];
  for (const [inputs, headers] of attempts) {
    assert.equal((await bench.post("/forms/f1", inputs, headers)).status, 403, JSON.stringify([inputs, headers]));
  }
  assert.equal((await bench.get("/forms/f1?decision=approve")).status, 200);
  assert.equal((await bench.post("/forms/sign-out", {})).status, 403);
  assert.equal((await bench.web.store.getForm("f1"))?.state, "open");
  assert.equal((await bench.post("/forms/f1", { ...answer, ...hidden })).status, 303);
});

Deno.test("behind a proxy our pages are recognised by the url in the settings", async () => {
  await using bench = await FormsBench.open();
  Object.assign(bench.web.context.desk, { address: () => "https://rules.example.org" });
  await bench.ask();
  const signIn = await bench.post("/forms/sign-in", { name: "anna", password: "correct horse" }, {
    origin: "https://rules.example.org",
  });
  assert.equal(signIn.status, 303);
  assert.match(signIn.headers.get("set-cookie")!, /; Secure/);
});

Deno.test("pages allow no scripts, framing, caching or referrers", async () => {
  await using bench = await FormsBench.open();
  const { headers } = await bench.get("/forms/sign-in");
  const policy = headers.get("content-security-policy")!;
  for (const part of ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) {
    assert.ok(policy.includes(part), part);
  }
  assert.equal(headers.get("x-frame-options"), "DENY");
  assert.equal(headers.get("referrer-policy"), "same-origin");
  assert.equal(headers.get("cache-control"), "no-store");
  await bench.ask({ title: "<script>alert(1)</script> hook-secret", fields: {} });
  await bench.signIn();
  const { text } = await bench.get("/forms/f1");
  assert.match(text, /<h1>&lt;script&gt;alert\(1\)&lt;\/script&gt; \*\*\*<\/h1>/);
});

Deno.test("a choice equal to a secret is shown masked, and submitted as its value", async () => {
  await using bench = await FormsBench.open();
  const city: Field = { type: "choice", required: true, choices: ["hook-secret", "porto"] };
  const note: Field = { type: "text", required: true, lines: 3, min: 20 };
  await bench.ask({ title: "Which of hook-secret and porto?", fields: { city, note } });
  await bench.signIn();
  const { text } = await bench.get("/forms/f1");
  assert.match(text, /<h1>Which of \*\*\* and porto\?<\/h1>/);
  assert.match(text, /value="hook-secret" required><span>\*\*\*<\/span>/);
  const again = await bench.fill("/forms/f1", { city: "hook-secret", note: "hook-secret" });
  assert.equal(again.status, 422);
  assert.match(again.text, /<textarea[^>]*>\nhook-secret<\/textarea>/, "the typed values stay");
  await bench.fill("/forms/f1", { city: "hook-secret", note: "hook-secret is where we are" });
  const { answer } = (await bench.web.store.getForm("f1"))!;
  assert.deepEqual(answer?.values, { city: "hook-secret", note: "hook-secret is where we are" });
  assert.doesNotMatch((await bench.get("/forms/f1/thanks")).text, /hook-secret/);
});

Deno.test("the pages need no operator token, even on public addresses; they give access to nothing else", async () => {
  await using bench = await FormsBench.open();
  Object.assign(bench.web.context, { tokenless: false });
  await bench.ask();
  assert.equal((await bench.signIn()).status, 303);
  assert.equal((await bench.get("/forms/f1")).status, 200);
  for (const path of ["/api/forms", "/api/runs"]) assert.equal((await bench.get(path)).status, 401, path);
});

Deno.test("while the program stops, an answer gets 503 with Retry-After", async () => {
  await using bench = await FormsBench.open();
  await bench.ask();
  await bench.signIn();
  const hidden = hiddenInputs((await bench.get("/forms/f1")).text);
  Object.assign(bench.web.context, { phase: () => "draining" });
  const { status, headers } = await bench.post("/forms/f1", { ...hidden, decision: "approve" });
  assert.deepEqual([status, headers.get("retry-after")], [503, "5"]);
});

Deno.test("if the store refuses events, or something breaks, the page says so and the log says why", async () => {
  await using bench = await FormsBench.open();
  await bench.ask();
  await bench.signIn();
  const hidden = hiddenInputs((await bench.get("/forms/f1")).text);
  const answers: [Error, number][] = [[new StoreFullError("full", 7), 503], [new Error("disk /secret is gone"), 500]];
  for (const [error, status] of answers) {
    Object.assign(bench.web.context, { answerForm: () => Promise.reject(error) });
    const shown = await bench.post("/forms/f1", { ...hidden, decision: "approve" });
    assert.equal(shown.status, status);
    assert.equal(shown.headers.get("retry-after"), status === 503 ? "7" : null);
    assert.match(shown.headers.get("content-security-policy")!, /default-src 'none'/);
    assert.doesNotMatch(shown.text, /secret/);
  }
  assert.deepEqual(bench.web.errors, ["Cannot answer POST /forms/f1: Error: disk /secret is gone"]);
});

Deno.test("a body larger than any form, or of another type, is refused", async () => {
  await using bench = await FormsBench.open();
  await bench.ask();
  await bench.signIn();
  const large = await bench.post("/forms/f1", { reason: "x".repeat(300_000) });
  assert.equal(large.status, 413);
  assert.match(large.text, /<h1>Not sent<\/h1>\n<p>The body is longer than 262144 bytes<\/p>/);
  for (const path of ["/forms/f1/other", "/forms/a/b/c"]) assert.equal((await bench.get(path)).status, 404, path);
});

const shown = (field: Partial<Field>, text = "", problem?: string) =>
  String(fieldMarkup({ name: "orderId", field: { type: "text", required: true, ...field }, text, problem }));

Deno.test("each type of field has the matching HTML input", () => {
  const inputs: [Partial<Field>, RegExp][] = [
    [
      { type: "text", min: 2, max: 9 },
      /<input id="field-orderId" name="orderId" required value="" type="text" minlength="2" maxlength="9">/,
    ],
    [{ type: "text", lines: 4 }, /<textarea id="field-orderId" name="orderId" required rows="4">\n<\/textarea>/],
    [{ type: "number", min: 0, max: 5 }, /type="number" step="any" inputmode="decimal" min="0" max="5"/],
    [{ type: "date" }, /type="date"/],
    [{ type: "email" }, /type="email" autocomplete="email"/],
    [{ type: "url" }, /type="url"/],
    [{ type: "duration" }, /aria-describedby="field-orderId-help"[^>]* type="text"/],
    [{ type: "integer" }, /type="number" step="1" inputmode="numeric"/],
    [{ type: "port" }, /type="number" step="1" inputmode="numeric" min="1" max="65535"/],
    [{ type: "ip" }, /Such as 192\.0\.2\.1[^]* type="text"/],
    [{ type: "path" }, /A relative path[^]* type="text"/],
    [{ type: "path", under: "/srv" }, /A path below \/srv<[^]* type="text"/],
    [{ type: "secret", choices: ["KEY"] }, /The name of a secret[^]*type="radio"[^>]* value="KEY"/],
    [{ type: "file" }, /<input id="field-orderId" name="orderId" required type="file">/],
    [{ type: "list" }, /One on each line<[^]*<textarea [^>]*rows="4"/],
    [{ type: "list", of: { type: "ip" } }, /One on each line: an IP address<[^]*<textarea/],
    [{ type: "list", of: { type: "choice", choices: ["a", 2] } }, /One on each line: one of a, 2<[^]*<textarea/],
  ];
  for (const [field, pattern] of inputs) assert.match(shown(field), pattern);
});

Deno.test("few choices are radio buttons, many are a select; values may be numbers", () => {
  const few = shown({ type: "choice", choices: [1, "two"] }, "1");
  assert.match(few, /<fieldset role="radiogroup" class="field">\n<legend>Order id<\/legend>/);
  assert.match(few, /<input type="radio" id="field-orderId" name="orderId" value="1" checked required><span>1<\/span>/);
  assert.match(few, /<input type="radio" id="field-orderId-1" name="orderId" value="two" required>/);
  const many = shown({ type: "choice", choices: Array.from({ length: 20 }, (_, index) => index) }, "7");
  assert.match(many, /<select id="field-orderId" name="orderId" required>\n<option value="">Choose one<\/option>/);
  assert.match(many, /<option value="7" selected>7<\/option>/);
});

Deno.test("yes and no are explicit choices: nothing chosen is no answer", () => {
  const required = shown({ type: "boolean" });
  assert.doesNotMatch(required, /checked|No answer/);
  assert.match(shown({ type: "boolean", required: false }), /value="" checked><span>No answer<\/span>/);
  assert.match(shown({ type: "boolean" }, "false"), /value="false" checked/);
});

Deno.test("help and problem are linked to the input, and optional fields say so", () => {
  const field = shown({ title: "Order <no.>", help: "As on\nthe bill", required: false }, '"1"', "Expected text");
  assert.match(field, /<label for="field-orderId">Order &lt;no\.&gt; <span class="soft">\(optional\)<\/span><\/label>/);
  assert.match(field, /<p class="help" id="field-orderId-help">As on\nthe bill<\/p>/);
  assert.match(field, /<p class="error" id="field-orderId-error">Expected text<\/p>/);
  assert.match(
    field,
    /aria-describedby="field-orderId-help field-orderId-error" aria-invalid="true" value="&quot;1&quot;"/,
  );
  assert.doesNotMatch(field, / required/);
});

Deno.test("a field without a title is labelled with its name, in words", () => {
  const label = (name: string) => labelOf(name, { type: "text", required: true });
  assert.deepEqual(["reason", "orderId", "unit_price"].map(label), ["Reason", "Order id", "Unit price"]);
});

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

Deno.test("forms are listed by state and by whom they are for", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({ to: ["finance"] }, "f1");
  await bench.ask({ to: ["carl"] }, "f2");
  await bench.ask({ to: ["bob@example.org"] }, "f3");
  await bench.web.store.answerForm("f2", { values: { decision: "reject" }, by: "carl", at: NOW, via: "page" });
  const ids = async (query: string) => {
    const { status, body } = await bench.web.ask("GET", `/api/forms${query}`);
    return status === 200 ? body.map(({ id }: { id: string }) => id) : [status, body.error];
  };
  assert.deepEqual(await ids(""), ["f1", "f3"]);
  assert.deepEqual(await ids("?state=answered"), ["f2"]);
  assert.deepEqual(await ids("?for=anna"), ["f1"]);
  assert.deepEqual(await ids("?for=finance"), ["f1"]);
  assert.deepEqual(await ids("?for=anna@example.org"), ["f1"]);
  assert.deepEqual(await ids("?for=bob@example.org"), ["f3"]);
  assert.deepEqual(await ids("?for=carl&state=answered"), ["f2"]);
  assert.deepEqual(await ids("?limit=1"), ["f1"]);
  assert.deepEqual(await ids("?limit=1&after=f1"), ["f3"]);
  assert.deepEqual(await ids("?for=nobody"), [400, 'There is no person and no group "nobody" in whenthen.yaml']);
  assert.equal((await ids("?state=done"))[0], 400);
});

Deno.test("an operator answers as one of the people asked, and as nobody else", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({ fields: { ...FIELDS, amount: { type: "number", required: true, max: 100 } } });
  const answer = (body: object) => bench.web.post("/api/forms/f1", body as never);
  const values = { decision: "approve", amount: 5 };
  assert.equal((await answer({ values })).status, 400);
  assert.equal((await answer({ as: "carl", values })).status, 403);
  assert.deepEqual((await answer({ as: "nobody", values })).body, { error: 'There is nobody "nobody"' });
  const invalid = await answer({ as: "anna", values: { decision: "perhaps", amount: 500, reson: "x" } });
  assert.equal(invalid.status, 422);
  assert.deepEqual(invalid.body.problems, {
    decision: 'expected one of "approve", "reject", got "perhaps"',
    amount: "expected at most 100, got 500",
    reson: 'unknown field; did you mean "reason"?',
  });
  assert.match(invalid.body.error, /^The answer is not valid: decision: expected one of/);
  const accepted = await answer({ as: "anna", values });
  assert.equal(accepted.status, 200);
  assert.deepEqual(accepted.body.answer, { values: { ...values, reason: null }, by: "anna", at: NOW, via: "api" });
  assert.equal(bench.web.woken.length, 1);
  const again = await answer({ as: "anna", values });
  assert.equal(again.status, 409);
  assert.match(again.body.error, /cannot be answered any more: anna answered it at 2026-11-21T08:00:00.000Z/);
  assert.equal((await bench.web.ask("GET", "/api/forms/f1")).body.state, "answered");
  assert.equal((await bench.web.ask("GET", "/api/forms/f9")).status, 404);
  assert.equal((await bench.web.post("/api/forms/f9", { as: "anna", values })).status, 404);
});

Deno.test("a person's own token opens that person's forms and nothing else", async () => {
  await using bench = await FormsBench.open([{ ...ANNA, token: hashToken("wt_anna") }, {
    ...CARL,
    token: hashToken("wt_carl"),
  }]);
  Object.assign(bench.web.context, { tokenless: false, tokens: ["operator"] });
  await bench.ask({}, "f1");
  await bench.ask({ to: ["carl"] }, "f2");
  const ask = (token: string, method: string, path: string, body?: object) =>
    bench.web.ask(method, path, { headers: bearer(token), ...body && { body: JSON.stringify(body) } });
  const listed = await ask("wt_anna", "GET", "/api/forms");
  assert.deepEqual(listed.body.map(({ id }: { id: string }) => id), ["f1"]);
  assert.equal((await ask("wt_anna", "GET", "/api/forms?for=anna")).status, 200);
  assert.equal((await ask("wt_anna", "GET", "/api/forms?for=carl")).status, 403);
  assert.equal((await ask("wt_anna", "GET", "/api/forms/f1")).status, 200);
  assert.equal((await ask("wt_anna", "GET", "/api/forms/f2")).status, 403);
  const values = { decision: "approve" };
  assert.equal((await ask("wt_carl", "POST", "/api/forms/f1", { values })).status, 403);
  assert.equal((await ask("wt_carl", "POST", "/api/forms/f1", { as: "anna", values })).status, 403);
  for (const path of ["/api/runs", "/", "/metrics", "/api/problems"]) {
    assert.equal((await ask("wt_anna", "GET", path)).status, 401, path);
  }
  assert.equal((await ask("wrong", "GET", "/api/forms")).status, 401);
  assert.equal((await bench.web.ask("GET", "/api/forms")).status, 401);
  assert.equal((await ask("operator", "GET", "/api/forms")).body.length, 2);
  assert.equal((await ask("wt_anna", "POST", "/api/forms/f1", { values })).status, 200);
  assert.deepEqual((await bench.web.store.getForm("f1"))?.answer?.by, "anna");
});

Deno.test("the reason why a form is closed is given", async () => {
  await using bench = await FormsBench.open();
  await bench.ask({ due: NOW + HOUR }, "f1");
  await bench.ask({}, "f2");
  await bench.web.store.cancelRun((await bench.web.store.getForm("f2"))!.run, "in a test", NOW);
  await bench.web.clock.advanceTo(NOW + HOUR);
  const errorOf = async (id: string) => {
    const { status, body } = await bench.web.post(`/api/forms/${id}`, { as: "anna", values: { decision: "approve" } });
    assert.equal(status, 409);
    return body.error;
  };
  assert.match(await errorOf("f1"), /its time was over at 2026-11-21T09:00:00.000Z/);
  assert.match(await errorOf("f2"), /what asked for it has ended/);
});

Deno.test("web pages, local or foreign, cannot answer with an operator's rights", async () => {
  await using bench = await FormsBench.open();
  await bench.ask();
  const body = { as: "anna", values: { decision: "approve" } };
  assert.equal((await bench.web.post("/api/forms/f1", body, { origin: "https://evil.example" })).status, 403);
  assert.equal((await bench.web.post("/api/forms/f1", body, { host: "evil.example" })).status, 403);
});
