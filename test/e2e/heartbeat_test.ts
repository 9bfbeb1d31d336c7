import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";

Deno.test("a live page on which nothing happens hears a heartbeat every 25 seconds, so that proxies keep it open", async () => {
  await using folder = await rulesFolder({});
  await using program = start(folder.rules, { data: folder.data });
  const url = await program.url();
  const began = performance.now();
  const response = await fetch(`${url}/live?page=events&after=0`);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let heard = "";
  const beats = () => heard.split("event: beat").length - 1;
  while (beats() < 2) {
    const { value, done } = await reader.read();
    assert.ok(!done, "the stream ended");
    heard += value;
  }
  // The first one opens the stream. How late the second is depends on the machine, not how early.
  assert.ok(performance.now() - began > 24_000, `${performance.now() - began} ms`);
  await reader.cancel();
});
