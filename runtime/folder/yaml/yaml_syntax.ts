import type { YAMLError } from "yaml";

/** Something wrong in a piece of text: the place, the problem, and what would work. */
export interface Finding {
  /** Offsets in the text. */
  from: number;
  to: number;
  message: string;
  hint?: string;
  severity?: "error" | "warning";
}

/** Explains a syntax error of the YAML library in the terms of a rule author, with a remedy for the usual mistakes. */
export function explainSyntaxError(error: YAMLError, text: string): Finding {
  const slip = new Slip(error, text);
  for (const explain of EXPLANATIONS) {
    const finding = explain(slip);
    if (finding) return finding;
  }
  return slip.finding(`${error.message[0].toLowerCase()}${error.message.slice(1)}`.replace(/\.$/, ""));
}

/** Puts text into the quotes that need the least escaping. */
export function quoted(text: string): string {
  return /["\\]/.test(text) ? `'${text.replaceAll("'", "''")}'` : `"${text}"`;
}

/** A syntax error with the parts of its line. */
class Slip {
  readonly at: number;
  readonly code: string;
  readonly says: string;
  readonly lineStart: number;
  readonly line: string;
  /** The text before the value: dashes and, if present, the key. */
  readonly key: string | undefined;
  readonly value: string;
  readonly valueAt: number;

  constructor(error: YAMLError, readonly text: string) {
    this.at = Math.min(error.pos[0], text.length);
    this.code = error.code;
    this.says = error.message;
    this.lineStart = text.lastIndexOf("\n", this.at - 1) + 1;
    const lineEnd = text.indexOf("\n", this.at);
    this.line = text.slice(this.lineStart, lineEnd === -1 ? text.length : lineEnd).trimEnd();
    const parts = /^([\s-]*)(?:([^\s:#"'{[][^:#]*?)\s*:(?:\s+|$))?(.*)$/s.exec(this.line)!;
    this.key = parts[2];
    this.value = parts[3];
    this.valueAt = this.lineStart + this.line.length - this.value.length;
  }

  finding(message: string, hint?: string, from = this.at, to = from + 1): Finding {
    return { from, to, message, ...(hint !== undefined && { hint }) };
  }

  /** A finding about the whole value, with the advice to quote it. */
  quote(message: string): Finding {
    const end = this.valueAt + this.value.length;
    return this.finding(message, `quote it: ${this.keyed(quoted(this.value))}`, this.valueAt, end);
  }

  keyed(value: string): string {
    return this.key === undefined ? value : `${this.key}: ${value}`;
  }
}

const EXPLANATIONS: ((slip: Slip) => Finding | undefined)[] = [
  tab,
  plainBraces,
  expressionInFlow,
  alias,
  nestedMapping,
  reservedStart,
  blockHeader,
  afterQuoteOrBracket,
  unclosedQuote,
  unclosedBracket,
  listBesideKey,
  loneWord,
  badEscape,
  keyNotText,
  secondDocument,
  badIndent,
];

function tab(slip: Slip): Finding | undefined {
  const indent = /^[ ]*\t/.exec(slip.line);
  if (!indent) return undefined;
  const from = slip.lineStart + indent[0].length - 1;
  return slip.finding("a tab in the indentation", "indent with spaces", from);
}

/** `text: {{ event.data.x }}` reads as a mapping in a mapping. */
function plainBraces(slip: Slip): Finding | undefined {
  const [braces, expression] = /^(?:- +)?(\{\{.*?\}\})/.exec(slip.value)?.[0].match(/\{\{\s*(.*?)\s*\}\}/) ?? [];
  if (braces === undefined) return undefined;
  const from = slip.valueAt + slip.value.indexOf(braces);
  const hint = `write ${slip.keyed(`\${{ ${expression} }}`)}`;
  return slip.finding("an expression begins with ${{", hint, from, from + braces.length);
}

function expressionInFlow(slip: Slip): Finding | undefined {
  const from = slip.text.startsWith("${{", slip.at) ? slip.at : slip.at - 1;
  // At the beginning of a value in a block, only ": " would require the quotes.
  if (!slip.text.startsWith("${{", from) || slip.code === "BLOCK_AS_IMPLICIT_KEY") return undefined;
  const end = slip.text.indexOf("}}", from);
  const to = end === -1 ? from + 3 : end + 2;
  const expression = slip.text.slice(from, to);
  return slip.finding("an expression inside { } or [ ] needs quotes", `quote it: ${quoted(expression)}`, from, to);
}

function alias(slip: Slip): Finding | undefined {
  if (!slip.value.startsWith("*")) return undefined;
  return slip.quote('a value that begins with "*" reads as a YAML alias');
}

function nestedMapping(slip: Slip): Finding | undefined {
  if (slip.code !== "BLOCK_AS_IMPLICIT_KEY" && slip.code !== "MULTILINE_IMPLICIT_KEY") return undefined;
  if (GLUED.test(slip.value)) return gluedKey(slip, slip.value, slip.valueAt);
  if (/:(\s|$)/.test(slip.value)) return slip.quote('a value with ": " in it reads as a nested mapping');
  const rest = slip.text.slice(slip.lineStart + slip.line.length);
  const next = /^\s*\n([ \t]*)(\S[^\n:]*)/.exec(rest);
  if (!next) return undefined;
  const from = slip.lineStart + slip.line.length + next[0].length - next[2].length;
  const owner = slip.key ?? slip.value;
  return slip.finding(
    `"${next[2].trim()}" is indented below "${owner}", which has a value already`,
    `give it the indentation of the line above`,
    from,
    from + next[2].length,
  );
}

function reservedStart(slip: Slip): Finding | undefined {
  if (slip.code !== "BAD_SCALAR_START") return undefined;
  return slip.quote(`a value cannot begin with "${slip.text[slip.at]}"`);
}

function blockHeader(slip: Slip): Finding | undefined {
  if (!/^[>|]/.test(slip.value) || slip.code !== "UNEXPECTED_TOKEN") return undefined;
  return slip.quote(`a value that begins with "${slip.value[0]}" reads as a block of text`);
}

function afterQuoteOrBracket(slip: Slip): Finding | undefined {
  if (!/^["'{[]/.test(slip.value) || !/at node end/.test(slip.says)) return undefined;
  const [, unquoted] = /^[{[].*?(?<=[\s,[{])([^\s,[\]{}"'$]*\$?\{\{.*?\}\}[^\s,}\]]*)/.exec(slip.value) ?? [];
  if (unquoted !== undefined) {
    const from = slip.valueAt + slip.value.indexOf(unquoted);
    const hint = `quote it: ${quoted(unquoted.replace(/(?<!\$)\{\{/, "${{"))}`;
    return slip.finding("an expression inside { } or [ ] needs quotes", hint, from, from + unquoted.length);
  }
  const what = /^["']/.test(slip.value) ? "at the next quote" : "at its closing bracket";
  return slip.quote(`a value that begins with ${slip.value[0]} ends ${what}`);
}

function unclosedQuote(slip: Slip): Finding | undefined {
  const quote = /Missing closing (["'])/.exec(slip.says)?.[1];
  if (!quote) return undefined;
  // The error is reported at the end of the file; the last unpaired quote of a line is the likely cause.
  const opening = [...slip.text.slice(0, slip.at).matchAll(new RegExp(`(?:^|[\\s,[{])${quote}`, "g"))]
    .map(({ index, 0: match }) => index + match.length - 1)
    .findLast((at) => !slip.text.slice(at + 1, slip.text.indexOf("\n", at) + 1 || undefined).includes(quote));
  return slip.finding(`this quote is not closed`, `close it with ${quote}`, opening ?? slip.at);
}

function unclosedBracket(slip: Slip): Finding | undefined {
  const bracket = /Flow (?:sequence|map).* end with an? ([\]}])/.exec(slip.says)?.[1];
  if (!bracket) return undefined;
  const open = bracket === "]" ? "[" : "{";
  const from = slip.text.lastIndexOf(open, slip.at - 1);
  return slip.finding(`this ${open} is not closed`, `close it with ${bracket}`, Math.max(0, from));
}

function listBesideKey(slip: Slip): Finding | undefined {
  if (!/block-seq-ind on same line/.test(slip.says)) return undefined;
  const inline = `write ${slip.keyed(`[${slip.value.replace(/^- */, "")}]`)}, or the list below the key`;
  return slip.finding("a list cannot begin beside its key", inline);
}

function loneWord(slip: Slip): Finding | undefined {
  if (!/Implicit map keys need to be followed/.test(slip.says)) return undefined;
  const word = /^[^\n]*/.exec(slip.text.slice(slip.at))![0].trimEnd();
  if (GLUED.test(word)) return gluedKey(slip, word, slip.at);
  const message = `expected a key with a value, got "${word}"`;
  return slip.finding(message, `write ${word}: followed by a value`, slip.at, slip.at + word.length);
}

const GLUED = /^([A-Za-z_][\w.-]*):([^\s/:][^:]*)$/;

/** `every:5m` */
function gluedKey(slip: Slip, word: string, from: number): Finding {
  const [, key, value] = GLUED.exec(word)!;
  const hint = `put a space after the colon: ${key}: ${value}`;
  return slip.finding(`expected a key with a value, got "${word}"`, hint, from, from + word.length);
}

function keyNotText(slip: Slip): Finding | undefined {
  if (slip.code !== "NON_STRING_KEY") return undefined;
  return slip.finding("a key must be plain text");
}

function badEscape(slip: Slip): Finding | undefined {
  if (slip.code !== "BAD_DQ_ESCAPE") return undefined;
  return slip.finding(
    `"${slip.text.slice(slip.at, slip.at + 2)}" is not a valid escape in double quotes`,
    "use single quotes, in which a backslash is a backslash",
    slip.at,
    slip.at + 2,
  );
}

function secondDocument(slip: Slip): Finding | undefined {
  if (slip.code !== "MULTIPLE_DOCS") return undefined;
  return slip.finding('"---" begins a second document', "put each rule into a file of its own", slip.at, slip.at + 3);
}

function badIndent(slip: Slip): Finding | undefined {
  if (slip.code !== "BAD_INDENT") return undefined;
  const from = slip.lineStart + /^\s*/.exec(slip.line)![0].length;
  return slip.finding(
    "this line is indented differently from the entries it belongs to",
    "entries of one level begin in the same column",
    from,
  );
}
