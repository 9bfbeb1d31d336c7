import assert from "node:assert/strict";
import fc from "fast-check";
import { formatDuration, parseDuration, parseRate } from "../../runtime/model/duration.ts";

Deno.test("parseDuration() reads short and ISO 8601 durations as milliseconds", () => {
  const cases = { "250ms": 250, "30s": 30_000, "5m": 300_000, "2h": 7_200_000, "3d": 259_200_000, "1.5s": 1_500 };
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDuration(text), ms, text);
  const iso = { PT1M: 60_000, P1DT12H: 129_600_000, P2W: 1_209_600_000, "PT0.5S": 500 };
  for (const [text, ms] of Object.entries(iso)) assert.equal(parseDuration(text), ms, text);
});

Deno.test("parseDuration() refuses durations without a fixed length or a unit", () => {
  for (const text of ["", "5", "5 m", "m", "-5m", "P1M", "P1Y", "P", "PT", "1h30m x"]) {
    assert.equal(parseDuration(text), undefined, text);
  }
});

Deno.test("formatDuration() writes readable durations", () => {
  const cases: [number, string][] = [[0, "0ms"], [40, "40ms"], [2_500, "2.5s"], [90_000, "1m30s"], [
    5_400_000,
    "1h30m",
  ]];
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
});

Deno.test("formatDuration() of whole units parses back to the same duration", () => {
  const units = fc.constantFrom(1_000, 60_000, 3_600_000, 86_400_000);
  fc.assert(fc.property(units, fc.integer({ min: 1, max: 20 }), (unit, count) => {
    const text = formatDuration(unit * count);
    const parts = text.match(/\d+(?:\.\d+)?(?:ms|[smhd])/g)!;
    assert.equal(parts.reduce((sum, part) => sum + parseDuration(part)!, 0), unit * count);
  }));
});

Deno.test("parseRate() reads a count per unit of time", () => {
  assert.deepEqual(parseRate("100/m"), { count: 100, per: 60_000 });
  assert.deepEqual(parseRate("10/s"), { count: 10, per: 1_000 });
  for (const text of ["0/m", "10", "10/min", "/s", "1.5/s"]) assert.equal(parseRate(text), undefined, text);
});
