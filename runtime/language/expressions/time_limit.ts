/**
 * Limits of one evaluation. Expressions run on the program's own thread, where nested loops over a large list, or text that
 * grows with each call, would block everything else.
 *
 * @module
 */

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
    `it takes longer than ${LONGEST / 1_000} s; loops within loops over long lists do, and many matches of long texts`,
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
