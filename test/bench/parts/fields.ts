import { checkValues } from "../../../runtime/language/fields/check_values.ts";
import { complete } from "../../../runtime/language/fields/relations.ts";
import { readFields } from "../../../runtime/language/fields/read_fields.ts";
import type { Field } from "../../../runtime/model/rule.ts";
import type { Lab } from "../lab.ts";
import { quantile } from "../numbers.ts";
import type { Part } from "../report.ts";

const FIELDS = 10_000;
/** What each requires, if there are so many behind it. */
const EACH = 3;
/** It requires one of the next so many. */
const REACH = 100;
const ROUNDS = 50;

/** Switches of which each requires three others: 30,000 requirements without a cycle. */
function fieldsOf(): Record<string, Field> {
  const entries = Array.from({ length: FIELDS }, (_, index) => {
    const others = [1, 7, 13].map((step) => index + 1 + (index * step) % REACH).filter((other) => other < FIELDS);
    const requires = [...new Set(others)].slice(0, EACH).map((other) => `--f${other}`);
    return [`--f${index}`, { type: "boolean", ...requires.length > 0 && { requires } }] as const;
  });
  const { fields, problems } = readFields(Object.fromEntries(entries), { flags: true, required: false });
  if (problems.length > 0) throw new Error(problems[0].message);
  return fields;
}

/** Checking a set of 10,000 inputs with 30,000 requirements: all set, and one set that requires the rest. */
export function fields(lab: Lab): Promise<Part> {
  lab.say(`${FIELDS.toLocaleString("en")} inputs`);
  const all = fieldsOf();
  const full = Object.fromEntries(Object.keys(all).map((name) => [name, true]));
  const one = { "--f0": true };
  const timesOf = (work: () => unknown) =>
    Array.from({ length: ROUNDS }, () => {
      const begun = performance.now();
      work();
      return performance.now() - begun;
    });
  const measured: [string, number[]][] = [
    // Copies are unknown to the program, so their relations are read anew each time.
    ["check of a whole set, seen for the first time", timesOf(() => checkValues({ ...all }, full))],
    ["check of a whole set", timesOf(() => checkValues(all, full))],
    ["check of one that requires the rest: a problem and its path for each", timesOf(() => checkValues(all, one))],
    ["complete() of one that requires the rest", timesOf(() => complete(all, one))],
  ];
  const rows = measured.map(([what, times]) => ({ what, value: quantile(times, 0.95), unit: "ms", note: "p95" }));
  const worst = Math.max(...rows.map(({ value }) => value));
  return Promise.resolve({
    title: "Inputs: 10,000 with 30,000 requirements",
    rows,
    aims: [{ aim: "inputs: checked in 100 ms", came: `${worst.toFixed(0)} ms`, reached: worst < 100 }],
  });
}
