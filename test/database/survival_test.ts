import { survive } from "../e2e/torture/survival.ts";
import { DatabaseServer } from "./server.ts";

Deno.test("kills at work, at the start, while a segment is folded or deltas are merged: all that was answered is there", async () => {
  await using server = await DatabaseServer.start();
  await survive({ data: await server.create(), moments: ["work", "start", "fold", "stop", "merge"] });
});
