/**
 * Parses a `.env` file: `NAME=value`, `export NAME=value`, `# comments`. Values in single quotes are literal; in double quotes
 * `\n`, `\"` and `\\` are escapes; both may span several lines. Nothing is expanded.
 */
export function parseEnvFile(text: string): Record<string, string> {
  const line =
    /^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*=[ \t]*(?:'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|([^\r\n]*?))[ \t]*(?:(?<=\s)#.*)?$/gm;
  const values: Record<string, string> = {};
  for (const [, name, literal, quoted, bare] of text.matchAll(line)) {
    values[name] = literal ?? (quoted === undefined ? bare : unescape(quoted));
  }
  return values;
}

function unescape(text: string): string {
  return text.replace(
    /\\([\s\S])/g,
    (_all, char) => char === "n" ? "\n" : char === "r" ? "\r" : char === "t" ? "\t" : char,
  );
}
