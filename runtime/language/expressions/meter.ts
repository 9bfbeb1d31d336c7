import type { Clock } from "../../host/clock.ts";
import { show } from "../hints.ts";

/** Milliseconds per minute that the expressions of one rule may take of the program's thread, which all rules share. */
const BUDGET = 10_000;
const WINDOW = 60_000;
/** Shorter evaluations delay nothing and are not counted: there may be thousands per second. */
const COUNTED = 5;
/** Evaluations of this length or more are shown. */
const LONG = 100;

/** The longest evaluation of a rule's expressions. */
export interface LongEvaluation {
  expression: string;
  /** Milliseconds. */
  ms: number;
}

/** The expressions of a rule have used up their time: they are not evaluated for a while. A later retry may succeed. */
export class BudgetError extends Error {
  override name = "BudgetError";
}

/** Measures how long the expressions of one rule take, and refuses further evaluations when the budget is used up. */
export class Meter {
  #spent: { until: number; ms: number }[] = [];
  #sum = 0;
  #longest: LongEvaluation | undefined;

  constructor(private readonly rule: string, private readonly clock: Pick<Clock, "ticks">) {}

  /** The longest evaluation, if it was long enough to be noticed. */
  get longest(): LongEvaluation | undefined {
    return this.#longest;
  }

  /**
   * Evaluates, if there is time left.
   * @throws BudgetError, or what `use` throws
   */
  measure<T>(expression: string, use: () => T): T {
    const began = this.clock.ticks();
    if (this.#sum > BUDGET) this.#refuse(began);
    try {
      return use();
    } finally {
      const until = this.clock.ticks();
      if (until - began >= COUNTED) this.#count(expression, until, until - began);
    }
  }

  /** Resets the budget. */
  reset(): void {
    this.#spent = [];
    this.#sum = 0;
    this.#longest = undefined;
  }

  #count(expression: string, until: number, ms: number): void {
    this.#spent.push({ until, ms });
    this.#sum += ms;
    if (ms >= LONG && ms > (this.#longest?.ms ?? 0)) this.#longest = { expression, ms };
  }

  #refuse(now: number): void {
    while (this.#spent.length > 0 && this.#spent[0].until <= now - WINDOW) this.#sum -= this.#spent.shift()!.ms;
    if (this.#sum <= BUDGET) return;
    const { expression, ms } = this.#longest ?? { expression: "", ms: 0 };
    const longest = ms > 0 ? `; the longest evaluation took ${ms} ms: ${show(expression)}` : "";
    throw new BudgetError(
      `the expressions of the rule ${this.rule} took ${seconds(this.#sum)} s of the last minute, and may take ` +
        `${seconds(BUDGET)} s; they are evaluated again in ${Math.ceil(this.#left(now) / 1_000)} s${longest}`,
    );
  }

  /** Milliseconds until enough of the time spent is over a minute ago, so that the rest is within the budget. */
  #left(now: number): number {
    let sum = this.#sum;
    for (const { until, ms } of this.#spent) {
      sum -= ms;
      if (sum <= BUDGET) return until + WINDOW - now;
    }
    return 0;
  }
}

/** The meters of all rules, by id. */
export class Meters {
  #meters = new Map<string, Meter>();
  #rules: ReadonlyMap<string, { version: string }> = new Map();

  constructor(private readonly clock: Pick<Clock, "ticks">) {}

  /** The meter of a rule. It survives reloads as long as the rule exists. */
  of(rule: string): Meter {
    let meter = this.#meters.get(rule);
    if (meter === undefined) this.#meters.set(rule, meter = new Meter(rule, this.clock));
    return meter;
  }

  /** Sets the rules in force: resets the meters of changed rules, removes those of removed ones. */
  setRules(rules: ReadonlyMap<string, { version: string }>): void {
    for (const [id, meter] of this.#meters) {
      const version = rules.get(id)?.version;
      if (version === undefined) this.#meters.delete(id);
      else if (version !== this.#rules.get(id)?.version) meter.reset();
    }
    this.#rules = rules;
  }
}

function seconds(ms: number): string {
  return String(Math.round(ms / 100) / 10);
}

// Limits of one evaluation. Expressions run on the program's own thread: nested loops over a large list, or text that grows with
// each call, would block everything else.

/** Maximum time in milliseconds. Two million small expressions take one second. */
const LONGEST = 2_000;
/** Maximum characters of a text that a function returns. */
const MOST_TEXT = 16 * 1024 * 1024;
/** Maximum values in a result, and characters in its texts. */
const MOST_VALUES = 5_000_000;
const MOST_CHARACTERS = 256 * 1024 * 1024;

/** The clock is checked only once per this many loop iterations or result values. */
const BETWEEN_LOOKS = 32;

let until = Infinity;
let isOver = false;
let turns = 0;
let values = 0;
let characters = 0;

/** Runs `use`, an evaluation, within these limits. It is synchronous, so no other evaluation can run in between. */
export function bounded<T>(use: () => T): T {
  until = performance.now() + LONGEST;
  isOver = false;
  values = 0;
  characters = 0;
  return use();
}

/**
 * Called in each iteration of a loop.
 * @throws Error if the evaluation has taken too long
 */
export function countTurn(): void {
  // Once over the limit, throw in every iteration: `all` and `exists` continue after an error in one of theirs.
  if (!isOver && ++turns % BETWEEN_LOOKS !== 0) return;
  checkTime();
}

/**
 * Called before operations that take long by themselves.
 * @throws Error if the evaluation has taken too long
 */
export function checkTime(): void {
  if (!isOver && performance.now() < until) return;
  isOver = true;
  throw new Error(
    `it takes longer than ${LONGEST / 1_000} s; nested loops over long lists do, and many matches in long texts`,
  );
}

/**
 * Called for each value of a result.
 * @param length of a text
 * @throws Error if the result is too large
 */
export function countValue(length: number): void {
  characters += length;
  if (++values > MOST_VALUES || characters > MOST_CHARACTERS) {
    throw new Error(`its result is larger than ${MOST_VALUES} values, or ${MOST_CHARACTERS} characters`);
  }
  countTurn();
}

/** @throws Error if a function would return a text that is too long */
export function checkText(length: number): void {
  if (length > MOST_TEXT) throw new Error(`it makes a text of more than ${MOST_TEXT} characters`);
}
