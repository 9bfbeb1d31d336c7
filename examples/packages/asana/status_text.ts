/** What is written about a rule. */
export interface Facts {
  rule: string;
  state: string;
  run: string | null;
  error: string | null;
  /** Lines of text, or JSON. */
  config: string | null;
  revision: string | null;
  at: string | null;
}

/** A block of a rule begins with its name in such a line, and ends before the line END. */
const BEGIN = "── whenthen: ";
const END = "──";

/**
 * The status as lines of text. In the notes of a task it is a block of its own for each rule, which is replaced.
 * @param notes without it, only the lines
 */
export function writeStatus(facts: Facts, notes?: string): string {
  const lines = linesOf(facts);
  if (notes === undefined) return [`${facts.rule} ${facts.state}`, ...lines].join("\n");
  const begin = `${BEGIN}${facts.rule} ${END}`;
  const block = [begin, facts.state, ...lines, END];
  const before = notes === "" ? [] : notes.split("\n");
  const start = before.indexOf(begin);
  if (start === -1) return [...before, ...before.length > 0 ? [""] : [], ...block].join("\n");
  const length = before.slice(start).indexOf(END) + 1;
  // Somebody removed the END line: none of their text is lost.
  before.splice(start, length === 0 ? 1 : length, ...block);
  return before.join("\n");
}

function linesOf({ run, error, config, revision, at }: Facts): string[] {
  return [
    ...run === null ? [] : [`Last run: ${run}${at === null ? "" : ` at ${at}`}`],
    ...isBlank(error) ? [] : [`Error: ${error}`],
    ...config === null ? [] : ["Config:", ...configLines(config)],
    ...isBlank(revision) ? [] : [`Rules: revision ${revision!.trim()}`],
  ];
}

function isBlank(text: string | null): boolean {
  return text === null || text.trim() === "";
}

function configLines(config: string): string[] {
  const values = parse(config);
  if (typeof values !== "object" || values === null) return config.trim().split("\n").map((line) => `  ${line}`);
  return Object.entries(values).map(([name, value]) =>
    `  ${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
