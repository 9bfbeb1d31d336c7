import { z } from "zod";
import type { RetryPolicy } from "../../model/rule.ts";
import { duration, type Resolved } from "./field.ts";

const attempts = z.number().int().min(1).max(1_000);
const DELAY = 1_000;
const LONGEST_DELAY = 60_000;

/** `retry: 3` (attempts in all), or `{ attempts, delay, max }`. */
export const retrySchema = z.union([
  attempts,
  z.strictObject({
    attempts: attempts.default(3).describe("In all, the first one included; by default 3"),
    delay: duration().optional().describe("Before the second attempt, doubled each time; by default 1s"),
    max: duration().optional().describe("What the delay never exceeds; by default 1m"),
  }),
], { error: "expected a number of attempts in all, as in retry: 3, or { attempts, delay, max }" }).transform(
  (retry): RetryPolicy => {
    if (typeof retry === "number") return { attempts: retry, delay: DELAY, max: LONGEST_DELAY };
    const { attempts, delay = DELAY, max = Math.max(LONGEST_DELAY, delay) } = retry as Resolved<typeof retry>;
    return { attempts, delay, max };
  },
);
