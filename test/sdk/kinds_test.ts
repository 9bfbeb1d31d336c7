import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { sdkTypes } from "../../bin/build/sdk_types.ts";
import { actions } from "../../runtime/actions/index.ts";
import * as sdk from "../../runtime/sdk/mod.ts";
import { protocol } from "../../runtime/sdk/protocol.ts";
import { triggerKinds } from "../../runtime/triggers/index.ts";
import { stepCalls } from "../../runtime/workers/step_calls.ts";

/** A source without what the formatter may change. */
function squeezed(source: string): string {
  return source.replaceAll(/\s+|[,;](?=\s*[)}\]])/g, "");
}

Deno.test("the functions and options of the SDK follow from the tables of triggers and actions", () => {
  for (const [name, made] of Object.entries(sdkTypes())) {
    const file = new URL(`../../runtime/sdk/generated/${name}`, import.meta.url);
    assert.equal(squeezed(readFileSync(file, "utf8")), squeezed(made), `${name} is out of date: deno task sdk`);
  }
});

Deno.test("every action has a function step.…", () => {
  const calls = stepCalls(() => Promise.reject(new Error("not called")), {} as never, false);
  assert.deepEqual(Object.keys(actions).filter((kind) => !(kind in calls)), []);
});

Deno.test("every trigger has a function in the SDK, which a worker provides", () => {
  const names = Object.keys(triggerKinds);
  assert.deepEqual(names.filter((kind) => !(kind in sdk) || !(kind in protocol)), []);
});

Deno.test("poll() takes the options of a poll out of those of its step", () => {
  const one = { http: "GET https://example.org/items/${{ key }}" };
  const { entry } = sdk.poll({ run: "./list.sh", env: { A: "b" }, inputs: { bits: 1 }, one, every: "5m" });
  assert.deepEqual(entry, {
    poll: { run: "./list.sh", http: undefined, call: undefined, env: { A: "b" } },
    inputs: { bits: 1 },
    one,
    every: "5m",
  });
  const { entry: asked } = sdk.poll({ http: "https://example.org/", headers: { a: "b" }, key: "item.id" });
  assert.deepEqual(asked, {
    poll: { run: undefined, http: "https://example.org/", call: undefined, headers: { a: "b" } },
    key: "item.id",
  });
});
