import assert from "node:assert/strict";
import type { Hook } from "../../runtime/triggers/trigger.ts";
import { HookRegistry } from "../../runtime/web/hook_registry.ts";

const ARGS: Hook["args"] = { webhook: "/", auth: "none", method: "POST", replyWithin: 10_000, maxBody: 1_000 };

function registry(...paths: string[]): HookRegistry {
  const hooks = new HookRegistry();
  for (const path of paths) hooks.add({ rule: path, trigger: "t", path, args: ARGS, at: { line: 1, column: 1 } });
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

Deno.test("rules share a path, and removing one leaves the others", () => {
  const hooks = registry("/github");
  const leave = hooks.add({ rule: "second", trigger: "t", path: "/github", args: ARGS, at: { line: 1, column: 1 } });
  assert.deepEqual(found(hooks, "/github").map(([rule]) => rule), ["/github", "second"]);
  assert.deepEqual(hooks.paths(), ["/github"]);
  leave();
  assert.deepEqual(found(hooks, "/github").map(([rule]) => rule), ["/github"]);
});

Deno.test("a dead end falls back to a less specific path", () => {
  const hooks = registry("/a/b/c", "/a/:x/d", "/:y/b/e", "/:first/:second/:third");
  assert.deepEqual(found(hooks, "/a/b/c"), [["/a/b/c", {}]]);
  assert.deepEqual(found(hooks, "/a/b/d"), [["/a/:x/d", { x: "b" }]]);
  assert.deepEqual(found(hooks, "/a/b/e"), [["/:y/b/e", { y: "a" }]]);
  assert.deepEqual(found(hooks, "/a/b/f"), [["/:first/:second/:third", { first: "a", second: "b", third: "f" }]]);
  assert.deepEqual(found(hooks, "/a/b"), []);
});

Deno.test("rules that share a pattern may name its params differently; a path may be a name that objects inherit", () => {
  const hooks = registry("/price/:sku", "/price/:item", "/constructor");
  assert.deepEqual(found(hooks, "/price/7"), [["/price/:sku", { sku: "7" }], ["/price/:item", { item: "7" }]]);
  assert.deepEqual(found(hooks, "/constructor"), [["/constructor", {}]]);
  assert.deepEqual(found(hooks, "/toString"), []);
});

Deno.test("after the last hook of a path is removed the others are still found", () => {
  const hooks = registry("/a", "/a/b", "/a/:x");
  const leave = hooks.add({ rule: "gone", trigger: "t", path: "/a/b/c", args: ARGS, at: { line: 1, column: 1 } });
  leave();
  leave();
  assert.deepEqual(hooks.paths(), ["/a", "/a/:x", "/a/b"]);
  assert.deepEqual(found(hooks, "/a/b/c"), []);
  assert.deepEqual([found(hooks, "/a/b"), found(hooks, "/a/z")], [[["/a/b", {}]], [["/a/:x", { x: "z" }]]]);
});
