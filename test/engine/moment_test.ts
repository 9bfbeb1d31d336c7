import assert from "node:assert/strict";
import { isZone, parseDue, parseMoment } from "../../runtime/engine/steps/moment.ts";

const NOW = Date.parse("2026-11-21T08:00:00Z");

function iso(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString();
}

Deno.test("a time of day is the next one in its zone", () => {
  assert.equal(iso(parseMoment("09:00", NOW, "UTC")), "2026-11-21T09:00:00.000Z");
  assert.equal(iso(parseMoment("08:00", NOW, "UTC")), "2026-11-22T08:00:00.000Z");
  assert.equal(iso(parseMoment("09:00:30", NOW, "Europe/Berlin")), "2026-11-21T08:00:30.000Z");
  assert.equal(iso(parseMoment("09:00", NOW, "Europe/Berlin")), "2026-11-22T08:00:00.000Z");
});

Deno.test("a local time that does not exist becomes the time after the gap", () => {
  const night = Date.parse("2027-03-28T00:00:00Z");
  assert.equal(iso(parseMoment("02:30", night, "Europe/Berlin")), "2027-03-28T01:00:00.000Z");
});

Deno.test("a date and time without an offset are those of the zone; with one the offset applies, also in the past", () => {
  assert.equal(iso(parseMoment("2027-01-01", NOW, "Europe/Berlin")), "2026-12-31T23:00:00.000Z");
  assert.equal(iso(parseMoment("2027-01-01T09:00", NOW, "America/New_York")), "2027-01-01T14:00:00.000Z");
  assert.equal(iso(parseMoment("2020-06-01T09:00:00+02:00", NOW)), "2020-06-01T07:00:00.000Z");
  assert.equal(iso(parseMoment("2020-06-01", NOW, "UTC")), "2020-06-01T00:00:00.000Z");
});

Deno.test("an invalid moment is rejected", () => {
  const texts = ["", "soon", "24:00", "9", "2027-02-31", "2027-02-31T09:00:00Z", "2027-01-01T25:00", "2027-13-01"];
  for (const text of texts) assert.equal(parseMoment(text, NOW, "UTC"), undefined, text);
});

Deno.test("a duration counts from now", () => {
  assert.equal(parseDue("1h", NOW), NOW + 3_600_000);
  assert.equal(iso(parseDue("2027-01-01T00:00:00Z", NOW)), "2027-01-01T00:00:00.000Z");
  assert.equal(parseDue("1 hour", NOW), undefined);
});

Deno.test("time zones are those of the host", () => {
  assert.ok(isZone("Europe/Berlin"));
  assert.ok(!isZone("Mars/Olympus"));
});
