import assert from "node:assert/strict";
import { hashToken } from "../../../runtime/secrets/passwords.ts";
import { NOW } from "../harness.ts";
import { ANNA, CARL, FIELDS, FormsBench } from "./harness.ts";

const HOUR = 3_600_000;
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
    reson: "unknown field; did you mean reason?",
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
