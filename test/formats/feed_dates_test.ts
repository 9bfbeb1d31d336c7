import assert from "node:assert/strict";
import { readFeedDate } from "../../runtime/formats/feed_dates.ts";

Deno.test("dates of RFC 822 and RFC 3339 are read with their zones", () => {
  const cases: [string, string][] = [
    ["Fri, 20 Nov 2026 17:30:00 +0100", "2026-11-20T16:30:00.000Z"],
    ["20 Nov 26 17:30 EST", "2026-11-20T22:30:00.000Z"],
    ["Wed, 1 April 2026 9:05:07 UT", "2026-04-01T09:05:07.000Z"],
    ["Fri, 13 Mar 2026 10:00:00 CEST", "2026-03-13T08:00:00.000Z"],
    ["Fri, 13 Mar 2026 10:00:00 PDT", "2026-03-13T17:00:00.000Z"],
    ["Fri, 13 Mar 2026 10:00:00 +0530 (IST)", "2026-03-13T04:30:00.000Z"],
    ["Sat, 31 Dec 2016 23:59:60 GMT", "2017-01-01T00:00:00.000Z"],
    ["2026-03-13T10:00:00Z", "2026-03-13T10:00:00.000Z"],
    ["2026-03-13t10:00:00.1234567+05:30", "2026-03-13T04:30:00.123Z"],
    ["2026-03-13 10:00-0800", "2026-03-13T18:00:00.000Z"],
    ["2024-02-29", "2024-02-29T00:00:00.000Z"],
  ];
  for (const [text, date] of cases) assert.equal(readFeedDate(` ${text}\n`), date, text);
});

Deno.test("a date without a zone, of a day that does not exist, or in another form is none", () => {
  const cases = [
    "13.03.2026",
    "03/13/2026",
    "Thu, 31 Feb 2026 10:00:00 GMT",
    "2026-02-29",
    "2026-13-01T00:00:00Z",
    "Fri, 13 Mar 2026 10:00:00",
    "2026-03-13T10:00:00",
    // British or Bangladesh.
    "Fri, 13 Mar 2026 10:00:00 BST",
    "Fri, 13 Mar 2026 24:00:00 GMT",
    "Fri, 13 Mar 2026 10:60:00 GMT",
    "Fri, 13 Mar 2026 10:00:00 +9900",
    "Fr, 13 Mär 2026 10:00:00 +0100",
    "1773394800",
    "yesterday",
    "",
  ];
  for (const text of cases) assert.equal(readFeedDate(text), null, text);
});
