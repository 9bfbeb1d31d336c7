/** Characters that affect a terminal or line-based reader: control characters, line separators, and changes of text direction. */
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

const SHORT: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Escapes control characters as in JSON, on one line, so that data from outside cannot look like lines of ours. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (char) => SHORT[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The same with one character for each, so that a caret below still has the right position. */
export function hideControls(text: string): string {
  return text.replace(CONTROLS, "�");
}
