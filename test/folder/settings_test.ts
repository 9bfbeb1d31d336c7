import assert from "node:assert/strict";
import { readSettings } from "../../runtime/folder/settings/settings.ts";
import { parseYaml } from "../../runtime/folder/yaml/yaml.ts";
import { formatProblem } from "../../runtime/model/problem.ts";

const HASH = `scrypt.15.8.3.${"s".repeat(22)}.${"k".repeat(43)}`;
const read = (text: string) => readSettings(parseYaml(text, "whenthen.yaml"), "/rules", undefined);

Deno.test("without a file there are defaults, and .env beside the rules", () => {
  assert.deepEqual(readSettings(undefined, "/rules", undefined), {
    settings: {
      retention: { bytes: 1_000_000_000, identities: 30 * 86_400_000 },
      limits: {},
      secrets: { files: ["/rules/.env"], folders: [] },
      people: [],
      connections: [],
    },
    problems: [],
  });
});

Deno.test("every setting is read into its internal form", () => {
  const { settings, problems } = read(
    "port: 80\nhost: 0.0.0.0\nretention: { bytes: 1GB, identities: 7d }\nlimits: { api.example.org: 10/s }\n" +
      "secrets: { files: [../live.env], folders: /run/secrets }\nurl: https://rules.example.org/\n" +
      "smtp: { host: mail, user: rules, password: SMTP_PASSWORD, from: Rules <rules@example.org> }\n" +
      `people: { anna: { name: Anna, email: anna@example.org, groups: [finance], password: ${HASH} }, carl: {} }\n`,
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(settings, {
    port: 80,
    host: "0.0.0.0",
    retention: { bytes: 1_000_000_000, identities: 7 * 86_400_000 },
    limits: { "api.example.org": { count: 10, per: 1_000 } },
    secrets: { files: ["/live.env", "/rules/.env"], folders: ["/run/secrets"] },
    url: "https://rules.example.org",
    smtp: {
      host: "mail",
      port: 587,
      secure: false,
      user: "rules",
      password: "SMTP_PASSWORD",
      from: { name: "Rules", address: "rules@example.org" },
    },
    people: [
      { id: "anna", name: "Anna", email: "anna@example.org", groups: ["finance"], password: HASH },
      { id: "carl", name: "carl", groups: [] },
    ],
    connections: [],
  });
  assert.equal(read("retention: 1GB").settings.retention.bytes, 1_000_000_000);
  assert.equal(read("retention: 1.5GB").settings.retention.bytes, 1_500_000_000);
});

Deno.test("a bad setting is a problem at its position; unknown ones suggest the nearest", () => {
  const { problems } = read(
    "prot: 1\nport: 70000\nretention: 5 parsecs\nlimits: { a.b: 10/x }\nsecrets: { flies: a, files: [1] }\nhost: 1\n",
  );
  assert.deepEqual(problems.map((problem) => formatProblem(problem)).sort(), [
    'whenthen.yaml:1:1: unknown setting "prot"\n    did you mean "port"?',
    "whenthen.yaml:2:7: expected a port from 0 to 65535",
    'whenthen.yaml:3:12: expected a size such as 256MB, got "5 parsecs"',
    'whenthen.yaml:4:16: expected a rate such as 10/s or 100/m, got "10/x"',
    'whenthen.yaml:5:12: unknown setting "flies"\n    did you mean "files"?',
    "whenthen.yaml:5:29: expected a path, or a list of paths, got [1]",
    "whenthen.yaml:6:7: expected an address such as 127.0.0.1",
  ]);
});

Deno.test("history is on disk and may be larger than memory", () => {
  const { settings, problems } = read("retention: { bytes: 2000GB }\n");
  assert.deepEqual([settings.retention.bytes, problems], [2e12, []]);
});

Deno.test("a bad file keeps the last good settings", () => {
  const { settings } = read("port: 80\n");
  for (const text of ["port: [", "port: high\n", "- 1\n"]) {
    assert.deepEqual(readSettings(parseYaml(text, "whenthen.yaml"), "/rules", settings).settings, settings);
  }
});

/** The problems of some settings, one line for each. */
function wrong(text: string): string[] {
  return read(text).problems.map((problem) =>
    formatProblem(problem).slice("whenthen.yaml:".length).replace("\n    ", " | ")
  );
}

Deno.test("port 465 is TLS from the start; secure chooses the port", () => {
  const smtp = (more: string) => read(`smtp: { host: mail, from: a@b.org${more} }`).settings.smtp;
  assert.deepEqual([smtp(", port: 465")?.secure, smtp(", secure: true")?.port], [true, 465]);
  assert.deepEqual([smtp("")?.secure, smtp("")?.port, smtp(", port: 25")?.secure], [false, 587, false]);
});

Deno.test("bad values in smtp, url and people are problems at their positions", () => {
  const file = `url: https://example.org/rules
smtp:
  hots: mail
  host: mail
  user: rules
  from: a@b.org, c@d.org
people:
  anna:
    emial: a@b.org
    groups: finance
    password: correct horse
    token: abc
  "a b": {}
`;
  assert.deepEqual(wrong(file), [
    "1:6: expected the address that people reach this program at, such as https://rules.example.org, " +
    'got "https://example.org/rules"',
    '3:3: unknown setting "hots" | did you mean "host"?',
    "6:9: expected whom mails are from, such as rules@example.org or Rules <rules@example.org>",
    "5:9: an account needs its password: add password: with the name of a secret",
    "10:13: expected a list of groups",
    "11:15: expected the hash of a password; make one with: whenthen people add",
    "12:12: expected the hash of a token; make one with: whenthen people add --token",
    '9:5: unknown setting "emial" | did you mean "email"?',
    "13:3: expected an id of a person: letters, digits, _, - and .",
  ]);
});

Deno.test("a person's address must be a mail address", () => {
  for (const email of ["anna", "Anna <a@b.org>", "a@b.org, c@d.org", "a b@c.org", " a@b.org", "7"]) {
    assert.match(wrong(`people: { anna: { email: "${email}" } }`).join(), /expected an e-mail address/, email);
  }
});

Deno.test("people may not share an address or a token, nor a person and a group a name", () => {
  const token = `sha256.${"t".repeat(43)}`;
  const file = `people:
  anna: { email: anna@example.org, groups: [board, carl], token: ${token} }
  carl: { email: Anna@Example.org, token: ${token} }
`;
  assert.deepEqual(wrong(file), [
    '2:52: "carl" is a person: a group needs a name of its own',
    "3:18: anna has this address too",
    "3:43: anna has this token too",
  ]);
});
