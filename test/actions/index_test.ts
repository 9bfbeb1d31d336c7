import assert from "node:assert/strict";
import { actions } from "../../runtime/actions/index.ts";
import type { JsonObject } from "../../runtime/model/json.ts";
import { resolveArgs } from "../../runtime/language/expressions/template.ts";

const scope = {
  event: { data: { id: "a/b c", count: 5, tags: [1, "x"], none: null, status: 404 } },
  secrets: { TOKEN: "t0ken" },
};

function resolved(kind: string, args: JsonObject): JsonObject {
  return resolveArgs(actions[kind], args, scope);
}

Deno.test("every action is registered under its own kind", () => {
  assert.deepEqual(Object.values(actions).map((action) => action.kind), Object.keys(actions));
});

Deno.test("only http, mail and patch are attempted more than once by default", () => {
  const several = Object.values(actions).filter((action) => action.defaults.attempts > 1);
  assert.deepEqual(several.map((action) => action.kind), ["http", "mail", "patch"]);
});

Deno.test("templates are resolved in every option of http, and encoded in its URL", () => {
  const args = {
    http: "POST https://example.org/${{ event.data.id }}",
    auth: { bearer: "${{ secrets.TOKEN }}" },
    headers: { "X-Count": "${{ event.data.count }}" },
    query: { tag: "${{ event.data.tags }}", none: "${{ event.data.none }}" },
    form: { count: "${{ event.data.count }}" },
    ok: ["${{ event.data.status }}"],
  };
  assert.deepEqual(resolved("http", args), {
    http: "POST https://example.org/a%2Fb%20c",
    auth: { bearer: "t0ken" },
    headers: { "X-Count": "5" },
    query: { tag: [1, "x"], none: null },
    form: { count: 5 },
    ok: [404],
  });
});

Deno.test("templates are resolved in the arguments, input and environment of run", () => {
  const args = {
    run: ["echo", "${{ event.data.id }}"],
    stdin: "${{ event.data.tags }}",
    env: { N: "${{ event.data.count }}" },
  };
  assert.deepEqual(resolved("run", args), { run: ["echo", "a/b c"], stdin: [1, "x"], env: { N: "5" } });
});

Deno.test("options that exclude each other are found before anything runs, except in templates", () => {
  const problems = (kind: string, args: JsonObject) => actions[kind].check!(args, 0);
  assert.equal(problems("http", { http: "POST https://example.org/", json: 1, form: {} }).length, 1);
  assert.equal(problems("http", { http: "https://example.org/", json: 1 }).length, 1);
  assert.deepEqual(problems("http", { http: "${{ config.url }}", json: 1 }), []);
  assert.equal(problems("reply", { reply: 204, json: 1 }).length, 1);
  assert.deepEqual(problems("reply", { reply: "${{ config.status }}", json: 1 }), []);
});
