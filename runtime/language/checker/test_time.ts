const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * Parses a time of a test, in UTC if it has no zone.
 * @returns milliseconds since the epoch, or undefined if the text is not a time
 */
export function parseTime(text: string): number | undefined {
  const match = TIME.exec(text);
  if (!match) return undefined;
  const moment = Date.parse(match[1] === undefined || match[4] !== undefined ? match[0] : `${match[0]}Z`);
  return Number.isNaN(moment) ? undefined : moment;
}
