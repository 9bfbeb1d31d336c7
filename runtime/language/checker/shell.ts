import { hasTemplate } from "../fields/field.ts";

/** The position of an expression in code, and how to pass its value instead. */
export interface ShellExpression {
  path: number[];
  offset: number;
  length: number;
  hint: string;
}

const SHELLS = /^(?:.*[/\\])?(?:ba|z|da|k|a|fi|c|tc)?sh(?:\.exe)?$|^(?:.*[/\\])?(?:cmd|powershell|pwsh)(?:\.exe)?$/i;
const INTERPRETERS = /^(?:.*[/\\])?(?:python[\d.]*|node|nodejs|bun|perl|ruby|php|osascript)(?:\.exe)?$/i;
/** `-c`, `-lc`, `-ec`, `/c`, `-Command`; for interpreters also `-e`, `--eval`, `-r`, `-p`. */
const SHELL_CODE = /^-[a-z]*c$|^\/c$|^-command$/i;
const INTERPRETER_CODE = /^-[a-z]*[cepr]$|^--(?:eval|print)$/i;

/**
 * Finds an expression in a string for the shell, or in the code argument of `[sh, -c, "…"]` and similar commands: its result
 * would run as code.
 */
export function findShellExpression(command: unknown): ShellExpression | undefined {
  if (typeof command === "string") {
    return inText(command, [], 'write it as a list, run: [command, "${{ x }}"], or pass it by env: or stdin:');
  }
  if (!Array.isArray(command)) return undefined;
  for (const [index, part] of command.entries()) {
    const flag = index > 0 && typeof command[index - 1] === "string" ? command[index - 1] : "";
    const before = command.slice(0, Math.max(0, index - 1)).filter((word) => typeof word === "string");
    const isShell = SHELL_CODE.test(flag) && before.some((word) => SHELLS.test(word));
    const isCode = INTERPRETER_CODE.test(flag) && before.some((word) => INTERPRETERS.test(word));
    const hint = isShell
      ? 'pass it as an argument behind the code, [sh, -c, \'echo "$1"\', sh, "${{ x }}"], or by env: or stdin:'
      : "pass it as an argument behind the code, or by env: or stdin:";
    const found = isShell || isCode ? inText(part, [index], hint) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

function inText(text: unknown, path: number[], hint: string): ShellExpression | undefined {
  if (typeof text !== "string" || !hasTemplate(text)) return undefined;
  const offset = text.indexOf("${{");
  const end = text.indexOf("}}", offset);
  return { path, offset, length: (end === -1 ? text.length : end + 2) - offset, hint };
}
