import { InvalidArgumentError, Option } from "commander";

/** Options that may be given before or after the command. */
export interface CommonOptions {
  data?: string;
  env?: string;
  log: "pretty" | "json";
  json?: true;
}

export const dataOption = () =>
  new Option(
    "--data <dir>",
    "where all state lives (default: .whenthen beside the rules; the current folder if they are packed into the program)",
  );

export const envOption = () => new Option("--env <name>", "also reads config.<name>.yaml").env("WHENTHEN_ENV");

export const jsonOption = () => new Option("--json", "print JSON");

export const logOption = () =>
  new Option("--log <format>", "how log lines look").choices(["pretty", "json"]).default("pretty");

export const limitOption = () =>
  new Option("--limit <count>", "how many at most").argParser(wholeNumber("a count")).default(20);

/** Parses a whole number. */
export function wholeNumber(what: string): (text: string) => number {
  return (text) => {
    if (/^\d{1,9}$/.test(text)) return Number(text);
    throw new InvalidArgumentError(`expected ${what}, got "${text}"`);
  };
}
