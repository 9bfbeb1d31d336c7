import assert from "node:assert/strict";
import { Lab } from "./true_data/lab.ts";
import { sources } from "./true_data/sources.ts";
import { texts } from "./true_data/texts.ts";
import { values } from "./true_data/values.ts";

/** The kinds of wrong data, by number. */
const KINDS: Record<number, string> = {
  1: "masking changes no data in use",
  2: "headers do not vanish by their names",
  3: "nothing is cut without a word",
  4: "whole numbers are exact, and what no number holds is an error",
  5: "text is read by its charset, and what does not decode is an error",
  6: "binary answers are base64",
  7: "what comes several times is a list",
  8: "a page that is not the table is no empty table",
  9: "an item that is repeated or has no key does not block the list",
  10: "a change that keeps size and time is seen",
  11: "reply says what became of it",
};

Deno.test("data stays unchanged: a table of inputs and outputs", async (t) => {
  const parts = [values, texts, sources];
  await using lab = await Lab.start(parts);
  const cases = parts.flatMap((part) => part.cases);
  for (const [number, name] of Object.entries(KINDS)) {
    await t.step(`${number}: ${name}`, async (t) => {
      for (const { input, expected, got } of cases.filter(({ kind }) => kind === Number(number))) {
        await t.step(input, async () => {
          const found = await got(lab);
          if (expected instanceof RegExp) assert.match(String(found), expected);
          else assert.deepEqual(found, expected);
        });
      }
    });
  }
});
