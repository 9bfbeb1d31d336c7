import assert from "node:assert/strict";
import type { Bench } from "../harness.ts";

/** Opens the stream of a live page. */
export async function connect(bench: Bench, path: string) {
  const response = await bench.web.fetch(new Request(`http://127.0.0.1:8080${path}`));
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let heard = "";
  return {
    status: response.status,
    type: response.headers.get("content-type"),
    /** Reads until this text has arrived. */
    async until(wanted: RegExp | "closed"): Promise<string> {
      for (;;) {
        if (wanted !== "closed" && wanted.test(heard)) return heard;
        const { value, done } = await reader.read();
        if (done && wanted === "closed") return heard;
        assert.ok(!done, `the stream ended before ${wanted}: ${heard}`);
        heard += value;
      }
    },
    close: () => reader.cancel(),
  };
}
