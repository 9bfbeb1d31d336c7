import { size } from "./size.ts";
import { type Moment, survive } from "./survival.ts";

const MOMENTS: Moment[] = ["work", "start", "stop", "reload"];

Deno.test("killed at random moments, at work, starting, stopping, reloading: one run for each event and rule, no recorded step executed again", () =>
  survive({ moments: Array.from({ length: size(12, 100) }, (_, life) => MOMENTS[life % MOMENTS.length]) }));

Deno.test("killed while it folds a segment under load: the same", async () => {
  for (let store = 0; store < size(1, 4); store++) await survive({ moments: new Array(size(3, 10)).fill("fold") });
});

Deno.test("killed while it merges under load: the same", async () => {
  // Each merge needs half as many live bytes again as the previous one: so more stores, not more starts.
  for (let store = 0; store < size(1, 4); store++) await survive({ moments: new Array(size(2, 4)).fill("merge") });
});
