import assert from "node:assert/strict";
import { batchTerms, lastOccurrence } from "../../runtime/language/checker/batch.ts";
import { check, underlined, withWhen } from "./check_support.ts";

const NOW = Date.parse("2026-11-21T08:00:00Z");
const HOUR = 3_600_000;

const batchOf = (batch: string, rest = "", more = {}) => {
  const { rule, problems } = check(withWhen(`- event: a\n  batch: ${batch}`, rest), more);
  assert.deepEqual(problems, []);
  return rule!.triggers[0].batch;
};

Deno.test("a digest, a debounce and a report are read with their defaults", () => {
  assert.deepEqual(batchOf("{ every: 1h }"), { every: HOUR, empty: false, max: 1_000 });
  assert.deepEqual(batchOf("{ quiet: 30s, within: 5m, max: 100 }"), {
    quiet: 30_000,
    within: 300_000,
    empty: false,
    max: 100,
  });
  const report = '{ cron: "0 9 * * 1", timezone: Europe/Berlin, empty: true }';
  assert.deepEqual(batchOf(report), { cron: "0 9 * * 1", timezone: "Europe/Berlin", empty: true, max: 1_000 });
  assert.equal(check(withWhen("- event: a")).rule!.triggers[0].batch, undefined);
});

Deno.test("config and environment may be used in the options of a batch, as in those of a trigger", () => {
  const rest =
    'config: { digest: 2h, most: 5, zone: { type: text, default: Europe/Paris }, at: "0 7 * * *", none: true }\n';
  assert.deepEqual(batchOf('{ every: "${{ config.digest }}", max: "${{ config.most }}" }', rest, {}), {
    every: 2 * HOUR,
    empty: false,
    max: 5,
  });
  const report = '{ cron: "${{ config.at }}", timezone: "${{ config.zone }}", empty: "${{ config.none }}" }';
  assert.deepEqual(batchOf(report, rest), { cron: "0 7 * * *", timezone: "Europe/Paris", empty: true, max: 1_000 });
  assert.deepEqual(batchOf('{ every: "${{ config.digest }}" }', rest, { config: { digest: "3h" } })!.every, 3 * HOUR);
});

const EXAMPLES = 'write { every: 1h }, { quiet: 30s, within: 5m } or { cron: "0 9 * * 1" }';
const traps: [what: string, batch: string, rest: string, ...expected: string[]][] = [
  ["no object", "1h", "", "1h", 'expected the options of a batch, got "1h"', EXAMPLES],
  [
    "one that never closes",
    "{ max: 10 }",
    "",
    "{",
    'a batch has to close: expected one of "every", "quiet", "cron"',
    EXAMPLES,
  ],
  [
    "one that closes in two ways",
    "{ every: 1h, quiet: 30s }",
    "",
    "quiet",
    'expected one of "every", "quiet", "cron", got "every" and "quiet"',
    'the longest time beside "quiet" is "within"',
  ],
  [
    "within without quiet",
    "{ every: 1h, within: 2h }",
    "",
    "within",
    '"within" has no effect without "quiet"',
    "remove it, or write quiet: instead of every:",
  ],
  [
    "within that comes before silence can",
    "{ quiet: 5m, within: 5m }",
    "",
    "5m",
    '"within" has to be longer than "quiet"',
    "make it longer, or write every: if only the time since the first event counts",
  ],
  [
    "empty without cron",
    "{ every: 1h, empty: true }",
    "",
    "empty",
    '"empty" has no effect without "cron"',
    "remove it, or write cron: instead of every:",
  ],
  [
    "a zone without cron",
    "{ quiet: 1m, timezone: UTC }",
    "",
    "timezone",
    '"timezone" has no effect without "cron"',
    "remove it, or write cron: instead of quiet:",
  ],
  [
    "a cron that never fires",
    '{ cron: "0 0 30 2 *" }',
    "",
    '"0 0 30 2 *"',
    'the cron "0 0 30 2 *" never fires: there is no such date',
    "write a day that one of its months has",
  ],
  [
    "no cron",
    "{ cron: soon }",
    "",
    "soon",
    'expected a cron pattern such as "30 8 * * 1-5", got "soon": invalid configuration format (\'soon\'), exactly five, six, or seven space separated parts are required.',
  ],
  [
    "a zone that is none",
    '{ cron: "0 8 * * *", timezone: Berlin }',
    "",
    "Berlin",
    'expected a time zone such as Europe/Berlin, got "Berlin"',
  ],
  [
    "no time",
    "{ every: 0s }",
    "",
    "0s",
    "expected a duration longer than 0, got 0",
    "write 1s",
  ],
  [
    "a duration that is none",
    "{ every: often }",
    "",
    "often",
    'expected a duration such as 250ms, 30s, 5m, 2h or 3d, got "often"',
  ],
  [
    "too many",
    "{ every: 1h, max: 100000 }",
    "",
    "100000",
    "expected a whole number from 1 up to 10000, got 100000",
  ],
  [
    "an unknown option",
    "{ evry: 1h, quiet: 1m }",
    "",
    "evry",
    'unknown key "evry"',
    'did you mean "every"?',
  ],
  [
    "a name that is not known when the rule loads",
    '{ every: "${{ event.data.x }}" }',
    "",
    "event.data.x",
    'unknown name "event"',
    "known here: config, env; write text in quotes",
  ],
  [
    "empty beside a key",
    '{ cron: "0 8 * * *", empty: true }',
    "key: event.subject\n",
    "empty",
    '"empty" means nothing beside the key of the rule',
    "take out one of the two; each key has a batch of its own, from its first event on",
  ],
];

for (const [what, batch, rest, ...expected] of traps) {
  Deno.test(`${what} is one problem of a batch at its position, with a remedy`, () => {
    const text = withWhen(`- event: a\n  batch: ${batch}`, rest);
    assert.deepEqual(underlined(text, check(text).problems), [expected]);
  });
}

Deno.test("a function if cannot filter collected events", () => {
  const text = withWhen("- event: a\n  batch: { every: 1h }", "if: { function: true }\n");
  assert.deepEqual(underlined(text, check(text).problems), [[
    "batch",
    "a function `if` cannot filter collected events: rule code runs only after the batch closes",
    'write it as CEL, as in if: "event.data.amount > 100", and without a validator of the event',
  ]]);
});

Deno.test("the options of a batch determine when it closes", () => {
  const terms = batchTerms({ every: HOUR, empty: false, max: 5 }, NOW);
  assert.deepEqual(terms, { within: HOUR, max: 5, empty: false, options: '{"every":3600000,"empty":false,"max":5}' });
  const { within, quiet } = batchTerms({ quiet: 1_000, within: 5_000, empty: false, max: 5 }, NOW);
  assert.deepEqual([within, quiet], [5_000, 1_000]);
  const report = { cron: "0 9 * * *", timezone: "Europe/Berlin", empty: true, max: 5 };
  assert.equal(batchTerms(report, NOW).at, NOW + 24 * HOUR, "at 9 o'clock in Berlin the next one is tomorrow");
  assert.equal(lastOccurrence(report, NOW), NOW);
  assert.equal(lastOccurrence(report, NOW - 1), NOW - 24 * HOUR);
  assert.equal(lastOccurrence({ every: HOUR, empty: false, max: 5 }, NOW), undefined);
});
