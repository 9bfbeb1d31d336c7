const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * Reads a time of a test, in UTC where it names no zone.
 * @returns milliseconds since the epoch, or undefined where the text is no time
 */
export function parseTime(text: string): number | undefined {
  const match = TIME.exec(text);
  if (!match) return undefined;
  const moment = Date.parse(match[1] === undefined || match[4] !== undefined ? match[0] : `${match[0]}Z`);
  return Number.isNaN(moment) ? undefined : moment;
}
