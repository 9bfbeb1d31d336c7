import { stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "../until.ts";
import type { Case, Lab, Part, PeerAnswer } from "./lab.ts";

const csv = (body: string): PeerAnswer => ({ headers: { "content-type": "text/csv" }, body });
const html = (body: string): PeerAnswer => ({ headers: { "content-type": "text/html" }, body });
const items = (...list: unknown[]): PeerAnswer => ({ body: JSON.stringify(list) });

const TABLE = "id,name\n1,one\n2,two\n";
const MORE = `${TABLE}3,three\n`;
const a = (v: unknown) => ({ id: "a", v });
const b = { id: "b", v: 1 };

/** A poll: the first response of its server, then a wrong or odd one, then a later one. */
interface Poll {
  kind: number;
  name: string;
  input: string;
  options: string;
  answers: PeerAnswer[];
  /** What its rule logged: type and subject of each event. */
  expected: string[];
  /** The text of the warning, if there must be one. */
  warned?: RegExp;
}

const POLLS: Poll[] = [
  {
    kind: 8,
    name: "empty_csv",
    input: "a CSV of no bytes",
    options: "format: csv",
    answers: [csv(TABLE), csv(""), csv(MORE)],
    expected: ["added 3"],
    warned: /got nothing/,
  },
  {
    kind: 8,
    name: "html_csv",
    input: "a web page in the place of a CSV",
    options: "format: csv",
    answers: [csv(TABLE), html("<!DOCTYPE html><html><body>Down for maintenance</body></html>"), csv(MORE)],
    expected: ["added 3"],
    warned: /got a web page/,
  },
  {
    kind: 8,
    name: "keyless_csv",
    input: "a CSV without the key's column",
    options: "format: csv",
    answers: [csv(TABLE), csv("name,price\n"), csv(MORE)],
    expected: ["added 3"],
    warned: /columns of "key: item\.id"/,
  },
  {
    kind: 8,
    name: "header_csv",
    input: "a CSV of nothing but its header",
    options: "format: csv",
    answers: [csv(TABLE), csv("id,name\n")],
    expected: ["removed 1", "removed 2"],
  },
  {
    kind: 8,
    name: "empty_lines",
    input: "lines of no bytes",
    options: "format: lines",
    answers: [{ headers: { "content-type": "text/plain" }, body: "x\ny\n" }, { body: "" }, { body: "x\ny\nz\n" }],
    expected: ["added z"],
    warned: /got nothing/,
  },
  {
    kind: 9,
    name: "repeated",
    input: "an item that comes twice",
    options: "",
    answers: [items(), items(a(1), a(1), b)],
    expected: ["added a", "added b"],
  },
  {
    kind: 9,
    name: "conflicting",
    input: "two items with one key",
    options: "",
    answers: [items(), items(a(1), a(2), b)],
    expected: ["added a", "added b"],
    warned: /"v":1.*"v":2/,
  },
  {
    kind: 9,
    name: "keyless",
    input: "items without a key",
    options: "",
    answers: [items(), items(a(1), { v: 7 }, { v: 8 }, b)],
    expected: ["added a", "added b"],
    warned: /2 items.*\{"v":7\}/,
  },
  {
    kind: 9,
    name: "paged",
    input: "an item on two pages, the second with another value",
    options: "items: body.items, pages: { next: body.next }",
    answers: [],
    expected: ["added a", "added b"],
    warned: /"v":1.*"v":2/,
  },
];

/** Two pages, after the first poll, which sets the baseline, saw an empty one. */
function pages(): (seen: { path: string }) => PeerAnswer {
  let looks = 0;
  return ({ path }) => {
    if (path.endsWith("?page=2")) return { body: JSON.stringify({ items: [a(2), b] }) };
    if (++looks === 1) return { body: '{"items":[]}' };
    return { body: JSON.stringify({ items: [a(1)], next: "?page=2" }) };
  };
}

const polls = POLLS.map(({ kind, name, input, expected, warned }): Case => ({
  kind,
  input,
  expected: warned === undefined ? expected : [...expected, "and a warning"],
  async got(lab) {
    const logged = name === "paged" ? await paged(lab) : await lab.polled(`/polls/${name}`, `polls/${name}`);
    const isWarned = warned !== undefined && lab.warnings(`polls/${name}`).some((text) => warned.test(text));
    return isWarned ? [...logged, "and a warning"] : logged;
  },
}));

async function paged(lab: Lab): Promise<string[]> {
  await lab.peer.waitFor(3, ({ path }) => path === "/polls/paged");
  return await lab.logged("polls/paged");
}

const changes: Case[] = [
  {
    kind: 10,
    input: "a file that is written with its old size and modification time",
    expected: ["added one", "changed two"],
    async got(lab) {
      const path = join(lab.folder.rules, "watched", "a.txt");
      const logged = (count: number) =>
        until("the file's event", () => lab.logged("watched/files"), ({ length }) => length === count);
      await writeFile(path, "one");
      await logged(1);
      const { atime, mtime } = await stat(path);
      await writeFile(path, "two");
      await utimes(path, atime, mtime);
      return await logged(2);
    },
  },
  {
    kind: 10,
    input: "a page whose Last-Modified is of this very second",
    expected: undefined,
    got: (lab) => conditional(lab, "/fresh"),
  },
  {
    kind: 10,
    input: "a page whose Last-Modified is older",
    expected: "Wed, 21 Oct 2015 07:28:00 GMT",
    got: (lab) => conditional(lab, "/old"),
  },
];

/** The validator that the second request sent. */
async function conditional({ peer }: Lab, page: string): Promise<string | undefined> {
  const [, second] = await peer.waitFor(2, ({ path }) => path === page);
  return second.headers["if-modified-since"];
}

const poll = (path: string, options: string) =>
  `when:
  poll: PEER${path}
  key: ${/lines/.test(options) ? "item" : "item.id"}
  every: 1s
  on: [added, changed, removed]
${
    options.split(/, (?=\w+: )/).filter((option) => option !== "").map((option) => `  ${option}\n`).join("")
  }then: [{ log: "\${{ event.type }} \${{ event.subject }}" }]
`;

/** Polls and watches: kinds 8 to 10. */
export const sources: Part = {
  files: {
    ...Object.fromEntries(POLLS.map(({ name, options }) => [`polls/${name}.yaml`, poll(`/polls/${name}`, options)])),
    "polls/fresh.yaml": poll("/fresh", ""),
    "polls/old.yaml": poll("/old", ""),
    "watched/files.yaml": `when: { watch: ./*.txt, settle: 100ms, format: text }
then: [{ log: "\${{ event.type }} \${{ event.data.content }}" }]
`,
  },
  answers: {
    ...Object.fromEntries(POLLS.map(({ name, answers }) => [`/polls/${name}`, answers])),
    "/polls/paged": pages(),
    "/fresh": () => ({ headers: { "last-modified": new Date().toUTCString() }, body: "[]" }),
    "/old": [{ headers: { "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" }, body: "[]" }],
  },
  cases: [...polls, ...changes],
};
