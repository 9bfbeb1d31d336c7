/** A line break in a text, or in a text that is JSON; the next line may be indented. */
const BREAK = /(?:\r|\\r)?(?:\n|\\n)[ \t]*/g;

/**
 * Replaces matches of a pattern across line breaks, as base64 is broken in mails and keys. Matches within one line stay
 * unchanged.
 * @param pattern global; matches texts without line breaks
 */
export function replaceAcrossLines(text: string, pattern: RegExp, replacement: string): string {
  const breaks = [...text.matchAll(BREAK)];
  if (breaks.length === 0) return text;
  // How many characters were removed before each position of the joined lines.
  const gaps: { at: number; gone: number }[] = [];
  let gone = 0;
  for (const { index, 0: { length } } of breaks) gaps.push({ at: index - gone, gone: gone += length });
  let result = "";
  let done = 0;
  let gap = 0;
  for (const { index, 0: { length } } of text.replace(BREAK, "").matchAll(pattern)) {
    while (gap < gaps.length && gaps[gap].at <= index) gap++;
    const start = index + (gap === 0 ? 0 : gaps[gap - 1].gone);
    while (gap < gaps.length && gaps[gap].at < index + length) gap++;
    const end = index + length + (gap === 0 ? 0 : gaps[gap - 1].gone);
    if (end - start === length) continue;
    result += text.slice(done, start) + replacement;
    done = end;
  }
  return result + text.slice(done);
}
