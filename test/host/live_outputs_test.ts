import assert from "node:assert/strict";
import { LiveOutputs } from "../../runtime/host/live_outputs.ts";
import { until } from "../e2e/until.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("both streams are one text; a character that comes in two parts is whole", () => {
  const outputs = new LiveOutputs();
  const live = outputs.open("r1", "a");
  const [first, second] = [bytes("grün\n").slice(0, 3), bytes("grün\n").slice(3)];
  live.write("stdout", first);
  live.write("stderr", bytes("beside\n"));
  live.write("stdout", second);
  assert.deepEqual(outputs.of("r1"), [{ step: "a", text: "grbeside\nün\n", isCut: false }]);
  live.close();
});

Deno.test("an unfinished line is shown once it has stayed so for a second: it may be half of a secret", async () => {
  const outputs = new LiveOutputs();
  const live = outputs.open("r1", "a");
  live.write("stdout", bytes("one\nPass"));
  assert.equal(outputs.of("r1")[0].text, "one\n");
  const before = outputs.changes();
  await until("the line", () => Promise.resolve(outputs.of("r1")[0].text), (text) => text === "one\nPass");
  assert.ok(outputs.changes() > before);
  live.close();
});

Deno.test("of much output the end is kept, and outputs are those of their run until they are closed", () => {
  const outputs = new LiveOutputs();
  const [one, two] = [outputs.open("r1", "a"), outputs.open("r1", "b")];
  for (let line = 0; line < 200_000; line++) one.write("stdout", bytes(`line ${line}\n`));
  const [{ text, isCut }] = outputs.of("r1");
  assert.ok(isCut && text.length < 200_000 && text.endsWith("line 199999\n"), String(text.length));
  one.close();
  assert.deepEqual(outputs.of("r1").map(({ step }) => step), ["b"]);
  two.close();
  assert.deepEqual([outputs.of("r1"), outputs.of("r2")], [[], []]);
});

Deno.test("of very many outputs the newest are kept", () => {
  const outputs = new LiveOutputs();
  const all = Array.from({ length: 250 }, (_, index) => outputs.open("r1", String(index)));
  const kept = outputs.of("r1");
  assert.deepEqual([kept.length, kept[0].step], [200, "50"]);
  all.forEach((each) => each.close());
});
