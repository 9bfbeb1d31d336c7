/**
 * The nearest candidate of which at most a third of the letters differ, but not all (Levenshtein; a swap counts as one): `c` is not meant
 * by `a`.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    const most = Math.min(candidate.length - 1, Math.max(1, Math.floor(candidate.length / 3)));
    if (distance < least && distance <= most) {
      [best, least] = [candidate, distance];
    }
  }
  return best;
}

/** Edits that turn one word into the other: insert, delete, replace, swap neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(row[j - 1] + 1, last[j] + 1, replaced);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j], beforeLast[j - 2] + 1);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length];
}

/** Formats a value for a message: short, and with text in quotes to distinguish it from other values. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  const line = value.replaceAll(/\s+/g, " ");
  return JSON.stringify(line.length > 60 ? `${line.slice(0, 60)}…` : line);
}

/**
 * The question "did you mean …?" with the nearest of the known words; undefined if none is near.
 * @param write gives the word as its author would write it
 */
export function didYouMean(word: string, known: Iterable<string>, write = (near: string) => near): string | undefined {
  const near = nearest(word, known);
  return near === undefined ? undefined : askWhether(write(near));
}

const QUESTION = "did you mean ";

/** The question whether this word was meant. */
export function askWhether(word: string): string {
  return `${QUESTION}${JSON.stringify(word)}?`;
}

/** Whether a hint is the question whether another word was meant. */
export function asksForWord(hint: string | undefined): boolean {
  return hint?.startsWith(QUESTION) ?? false;
}

/** The hint for a name that does not exist: the nearest name that does, else all of them. */
export function hintAtUnknown(name: string, known: string[]): string {
  return didYouMean(name, known) ?? listKnown(known);
}

/** How many names a hint lists at most. */
const MOST_LISTED = 50;

/** The names that exist, for a hint. */
export function listKnown(known: string[]): string {
  const more = known.length > MOST_LISTED ? ` and ${known.length - MOST_LISTED} more` : "";
  return `known here: ${known.slice(0, MOST_LISTED).join(", ") || "none"}${more}`;
}

/** The words of this language for those of other tools, such as GitHub Actions, Home Assistant, Ansible and n8n. */
const OTHER_TOOLS: Record<string, string[]> = {
  when: ["on", "trigger", "triggers"],
  if: ["condition", "conditions", "filter", "choose", "switch"],
  then: ["do", "action", "actions", "steps", "jobs", "tasks", "sequence", "pipeline"],
  name: ["alias"],
  config: ["variables", "vars"],
  cron: ["schedule", "time"],
  every: ["interval"],
  webhook: ["hook"],
  watch: ["file", "folder"],
  run: ["shell", "exec", "script", "cmd", "command", "bash"],
  call: ["uses", "function"],
  http: ["request", "fetch", "url", "curl"],
  mail: ["email"],
  log: ["print", "echo", "debug"],
  wait: ["delay", "sleep", "pause"],
  waitFor: ["wait_for_trigger"],
  each: ["foreach", "for", "for_each", "forEach", "loop", "with_items"],
};
const WORDS = new Map(Object.entries(OTHER_TOOLS).flatMap(([word, others]) => others.map((other) => [other, word])));

/** The word of this language for a word of another tool, if it is one of the known words. */
export function wordFor(other: string, known: string[]): string | undefined {
  const word = WORDS.get(other);
  return word !== undefined && known.includes(word) ? word : undefined;
}

/** The hint for an unknown key: its word here, else the nearest known key, else where it belongs, else all known keys. */
export function hintAtUnknownKey(key: string, known: string[]): string {
  const word = wordFor(key, known);
  if (word !== undefined) return `here it is called ${JSON.stringify(word)}`;
  const question = didYouMean(key, known);
  if (question !== undefined) return question;
  if (known.includes("call")) return `arguments go under with, as in with: { ${key}: … }`;
  if (key === "method" && known.includes("http")) return "write it before the URL, as in http: POST https://…";
  return hintAtUnknown(key, known);
}

/** The method before a URL. */
export const METHOD = /^[A-Z]+ +/;

/** The registered HTTP methods (IANA) that a client can send, and PURGE of caches. */
const METHODS =
  ("ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL " +
    "MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT " +
    "SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL").split(" ");

/** What is wrong with the method in `METHOD URL`; undefined if the method exists, or there is none. */
export function faultOfMethod(text: string): { method: string; message: string; hint: string } | undefined {
  const method = METHOD.exec(text)?.[0].trim();
  if (method === undefined || METHODS.includes(method)) return undefined;
  const hint = didYouMean(method, ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]) ??
    "the usual ones are GET, POST, PUT, PATCH and DELETE";
  return { method, message: `there is no HTTP method ${JSON.stringify(method)}`, hint };
}
