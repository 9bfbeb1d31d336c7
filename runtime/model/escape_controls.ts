/** What a terminal or a reader of lines obeys: control characters, line separators, and what turns the direction of text. */
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

const SHORT: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** One line that shows control characters as JSON writes them: what came from outside must not look like lines of ours. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (char) => SHORT[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The same with one sign for each, so that a caret below still points where it should. */
export function hideControls(text: string): string {
  return text.replace(CONTROLS, "�");
}
