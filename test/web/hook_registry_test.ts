import assert from "node:assert/strict";
import { HookRegistry } from "../../runtime/web/hook_registry.ts";

function registry(...paths: string[]): HookRegistry {
  const hooks = new HookRegistry();
  for (const path of paths) hooks.add({ rule: path, trigger: "t", path, args: {}, at: { line: 1, column: 1 } });
  return hooks;
}

function found(hooks: HookRegistry, path: string): [rule: string, params: Record<string, string>][] {
  return hooks.match(path).map(({ hook, params }) => [hook.rule, params]);
}

Deno.test("a path is matched by its segments, params are decoded", () => {
  const hooks = registry("/github", "/price/:sku");
  assert.deepEqual(found(hooks, "/github"), [["/github", {}]]);
  assert.deepEqual(found(hooks, "/github/"), [["/github", {}]]);
  assert.deepEqual(found(hooks, "/price/a%2Fb%20c"), [["/price/:sku", { sku: "a/b c" }]]);
  assert.deepEqual(found(hooks, "/price/%zz"), [["/price/:sku", { sku: "%zz" }]]);
  for (const path of ["/", "/price", "/price/1/2", "/GitHub"]) assert.deepEqual(found(hooks, path), []);
});

Deno.test("literal segments win over params, from left to right", () => {
  const hooks = registry("/:shop/orders", "/acme/:what", "/:shop/:what");
  assert.deepEqual(found(hooks, "/acme/orders").map(([rule]) => rule), ["/acme/:what"]);
  assert.deepEqual(found(hooks, "/other/orders").map(([rule]) => rule), ["/:shop/orders"]);
  assert.deepEqual(found(hooks, "/other/else").map(([rule]) => rule), ["/:shop/:what"]);
});

Deno.test("rules share a path, and one that leaves it takes nobody along", () => {
  const hooks = registry("/github");
  const leave = hooks.add({ rule: "second", trigger: "t", path: "/github", args: {}, at: { line: 1, column: 1 } });
  assert.deepEqual(found(hooks, "/github").map(([rule]) => rule), ["/github", "second"]);
  assert.deepEqual(hooks.paths(), ["/github"]);
  leave();
  assert.deepEqual(found(hooks, "/github").map(([rule]) => rule), ["/github"]);
});
