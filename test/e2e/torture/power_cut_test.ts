import { between, size } from "./size.ts";
import { type Moment, survive } from "./survival.ts";

const MOMENTS: Moment[] = ["work", "work", "start", "stop"];
/** Number of stores, each with so many power cuts: with a single growing store most of the test would be starts. */
const STORES = size(1, 20);
const CUTS = size(10, 50);

Deno.test("power cuts: the disk loses unsynced bytes, renames and folder entries; everything answered is there", async () => {
  for (let store = 0; store < STORES; store++) {
    const seed = between(1, 1e9);
    console.log(`seeds from ${seed}`);
    await survive({
      moments: Array.from({ length: CUTS }, (_, life) => MOMENTS[life % MOMENTS.length]),
      env: (life) => ({ WHENTHEN_TEST_DISK: `forget:${seed + life}` }),
    });
  }
});

Deno.test("power cuts while a segment is folded under load: the same", async () => {
  for (let store = 0; store < size(1, 5); store++) {
    await survive({
      moments: new Array(size(2, 8)).fill("fold"),
      env: () => ({ WHENTHEN_TEST_DISK: `forget:${between(1, 1e9)}` }),
    });
  }
});

Deno.test("power cuts while deltas are merged under load: the same", async () => {
  // Each merge needs half as many live bytes again as the previous one.
  for (let store = 0; store < size(1, 5); store++) {
    await survive({
      moments: new Array(size(1, 3)).fill("merge"),
      env: () => ({ WHENTHEN_TEST_DISK: `forget:${between(1, 1e9)}` }),
    });
  }
});
