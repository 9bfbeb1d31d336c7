import assert from "node:assert/strict";
import { access } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NOW, open } from "./helpers.ts";

Deno.test("a volatile store answers like any other and leaves nothing behind", async () => {
  const folder = join(tmpdir(), `whenthen-volatile-${crypto.randomUUID()}`);
  const mark = { rule: "r", trigger: "t" };
  const store = await open({ folder, disk: undefined, volatile: true });
  await store.accept([], [{ ...mark, mark: 1 }], NOW);
  assert.equal(await store.getMark(mark), 1);
  await store.close();
  await assert.rejects(access(folder));
  const again = await open({ folder, disk: undefined, volatile: true });
  assert.equal(await again.getMark(mark), undefined);
  await again.close();
});
