import assert from "node:assert/strict";
import process from "node:process";
import type { Field } from "../../../runtime/model/rule.ts";
import { StoreFullError } from "../../../runtime/store/store.ts";
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
