/**
 * What one evaluation may cost. Expressions are computed on the program's own thread, where a loop within a loop over a large
 * list, or text that grows with each call, would keep everybody waiting.
 *
 * @module
 */

/** Milliseconds. Two million small expressions take one second. */
const LONGEST = 2_000;
/** Characters that a function may make of others. */
const MOST_TEXT = 16 * 1024 * 1024;
/** Values in a result, and characters in its texts. */
const MOST_VALUES = 5_000_000;
const MOST_CHARACTERS = 256 * 1024 * 1024;

/** How often a turn of a loop, or a value of a result, is not worth a look at the clock. */
const BETWEEN_LOOKS = 32;

let until = Infinity;
let isOver = false;
let turns = 0;
let values = 0;
let characters = 0;

/** Runs `use`, an evaluation, within these bounds. It is synchronous: no other can come between. */
export function bounded<T>(use: () => T): T {
  until = performance.now() + LONGEST;
  isOver = false;
  values = 0;
  characters = 0;
  return use();
}

/**
 * Called in each turn of a loop.
 * @throws Error where the evaluation has taken too long
 */
export function countTurn(): void {
  // Once over, in every turn: `all` and `exists` go on behind an error in one of theirs.
  if (!isOver && ++turns % BETWEEN_LOOKS !== 0) return;
  checkTime();
}

/**
 * Called before what takes long by itself.
 * @throws Error where the evaluation has taken too long
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
 * @throws Error where the result is too large
 */
export function countValue(length: number): void {
  characters += length;
  if (++values > MOST_VALUES || characters > MOST_CHARACTERS) {
    throw new Error(`its result is larger than ${MOST_VALUES} values, or ${MOST_CHARACTERS} characters`);
  }
  countTurn();
}

/** @throws Error where a function would make a text that is too long */
export function checkText(length: number): void {
  if (length > MOST_TEXT) throw new Error(`it makes a text of more than ${MOST_TEXT} characters`);
}
