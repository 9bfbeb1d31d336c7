import { type Markup, markup } from "./markup.ts";

/** Arguments as a shell command; those with special characters are quoted. */
export function argvMarkup(program: string, argv: readonly string[], root: boolean): Markup {
  const words = [...root ? ["sudo", "-n"] : [], program, ...argv];
  return markup`<pre class="argv" tabindex="0">${words.map(quoted).join(" ")}</pre>`;
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
