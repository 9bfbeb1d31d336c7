import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "../../runtime/store/open_store.ts";
import { MOST_EARLIER, type Store } from "../../runtime/store/store.ts";

const NOW = 1_000;

async function withFolder(work: (open: () => Promise<Store>) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-config-"));
  try {
    await work(() => openStore({ folder, onWarning() {}, now: NOW }));
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("config that was set stands with who, when and the last 20 earlier values, also after a restart", async () => {
  await withFolder(async (open) => {
    const store = await open();
    for (let limit = 0; limit <= MOST_EARLIER + 1; limit++) {
      await store.setConfig({ rule: "ops/disk", set: { limit }, by: `person ${limit}` }, NOW + limit);
    }
    await store.setConfig({ rule: "ops/disk2", set: { limit: 1 }, by: "ben" }, NOW);
    await store.keepSourced([{ rule: "a", key: "b", value: { is: [1] }, from: "source" }]);
    await store.close();

    const again = await open();
    const [disk, ...rest] = await again.listConfig("ops/disk");
    assert.deepEqual([disk.value, disk.by, disk.at, rest], [21, "person 21", NOW + 21, []]);
    assert.equal(disk.earlier.length, MOST_EARLIER);
    assert.deepEqual(disk.earlier[0], { value: 20, by: "person 20", at: NOW + 20 });
    assert.deepEqual((await again.listConfig()).map(({ rule }) => rule), ["ops/disk", "ops/disk2"]);
    assert.deepEqual(await again.getSourced(), [{ rule: "a", key: "b", value: { is: [1] }, from: "source" }]);
    await again.close();
  });
});

Deno.test("a change of what somebody else has changed since is refused, with who and when; nothing of it is set", async () => {
  await withFolder(async (open) => {
    const store = await open();
    const first = await store.setConfig({ rule: "a", set: { limit: 1, size: 1 }, by: "anna" }, NOW);
    assert.deepEqual(first, { kind: "changed", at: NOW });
    const second = await store.setConfig({ rule: "a", set: { limit: 2 }, by: "ben", seen: NOW }, NOW);
    // Later than what it replaces, although the clock has not moved.
    assert.deepEqual(second, { kind: "changed", at: NOW + 1 });
    const late = await store.setConfig({ rule: "a", set: { size: 3, limit: 3 }, by: "anna", seen: NOW }, NOW + 5);
    assert.deepEqual(late, { kind: "stale", key: "limit", by: "ben", at: NOW + 1 });
    // Nobody has touched this key.
    const other = await store.setConfig({ rule: "a", set: { size: 4 }, by: "anna", seen: NOW }, NOW + 6);
    assert.equal(other.kind, "changed");
    const values = (await store.listConfig("a")).map(({ key, value, earlier }) => [key, value, earlier.length]);
    assert.deepEqual(values, [["limit", 2, 1], ["size", 4, 1]]);
    await store.close();
  });
});

Deno.test("setting what is set already, or removing what is not, changes nothing", async () => {
  await withFolder(async (open) => {
    const store = await open();
    await store.setConfig({ rule: "a", set: { limit: 1, size: null }, by: "anna" }, NOW);
    await store.setConfig({ rule: "a", set: { limit: 1 }, by: "ben" }, NOW + 1);
    assert.deepEqual(await store.listConfig(), [{
      rule: "a",
      key: "limit",
      value: 1,
      by: "anna",
      at: NOW,
      earlier: [],
    }]);
    await store.setConfig({ rule: "a", set: { limit: null }, by: "ben" }, NOW + 2);
    const [{ value, by, earlier }] = await store.listConfig();
    assert.deepEqual([value, by, earlier], [null, "ben", [{ value: 1, by: "anna", at: NOW }]]);
    await store.close();
  });
});
