import assert from "node:assert/strict";
import type { Loaded } from "../../runtime/folder/loaded.ts";
import { checkConnections } from "../../runtime/folder/settings/connection_settings.ts";
import { readSettings } from "../../runtime/folder/settings/settings.ts";
import { parseYaml } from "../../runtime/folder/yaml/yaml.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { Secrets } from "../../runtime/secrets/secrets.ts";
import { newKey } from "../connections/harness.ts";
import { heads, shown, TestFolder } from "./loading.ts";

const HASH = `scrypt.15.8.3.${"s".repeat(22)}.${"k".repeat(43)}`;
const read = (text: string) => readSettings(parseYaml(text, "whenthen.yaml"), "/rules", undefined);

Deno.test("without a file there are defaults, and .env beside the rules", () => {
  assert.deepEqual(readSettings(undefined, "/rules", undefined), {
    settings: {
      retention: { bytes: 1_000_000_000, identities: 30 * 86_400_000 },
      limits: {},
      places: { difference: 5, every: 2_000 },
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
      "places: { difference: 50, every: 10s }\n" +
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
    places: { difference: 50, every: 10_000 },
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
    "prot: 1\nport: 70000\nretention: 5 parsecs\nlimits: { a.b: 10/x }\nsecrets: { flies: a, files: [1] }\nhost: 1\n" +
      "places: { difference: 0, every: 10ms, evry: 1s }\n",
  );
  assert.deepEqual(problems.map((problem) => formatProblem(problem)).sort(), [
    'whenthen.yaml:1:1: unknown setting "prot"\n    did you mean "port"?',
    "whenthen.yaml:2:7: expected a port from 0 to 65535",
    'whenthen.yaml:3:12: expected a size such as 256MB, got "5 parsecs"',
    'whenthen.yaml:4:16: expected a rate such as 10/s or 100/m, got "10/x"',
    'whenthen.yaml:5:12: unknown setting "flies"\n    did you mean "files"?',
    "whenthen.yaml:5:29: expected a path, or a list of paths, got [1]",
    "whenthen.yaml:6:7: expected an address such as 127.0.0.1",
    "whenthen.yaml:7:23: expected a number of devices, at least 1",
    "whenthen.yaml:7:33: expected a duration of at least 100ms",
    'whenthen.yaml:7:39: unknown setting "evry"\n    did you mean "every"?',
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

const RULE =
  "when: manual\nthen:\n  - form: Refund?\n    to: [finance, bob@example.org]\n    escalate: { after: 1d, to: cfo }\n";
const ACTION = "inputs: {}\nthen:\n  - form: Refund?\n    to: finance\n";

Deno.test("a form for an unknown person is a problem until the settings have them, in actions too", async () => {
  await using folder = await TestFolder.with({ "a.yaml": RULE, "b.yaml": ACTION });
  assert.deepEqual(heads(await folder.load()), [
    'a.yaml:4:10: unknown person or group "finance"',
    'a.yaml:5:32: unknown person or group "cfo"',
    'b.yaml:4:9: unknown person or group "finance"',
  ]);
  await folder.write({ "whenthen.yaml": "people: { anna: { groups: [finance] }, cfo: {} }\n" });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), ["b.yaml:2:1: warning: nothing calls this action, so it never runs"]);
  assert.ok(loaded.rules.has("a"));
  await folder.write({ "whenthen.yaml": "people: { anna: { groups: [finanse] }, cfo: {} }\n" });
  assert.match((await folder.load()).problems[0].hint!, /did you mean "finanse"/);
});

const problemsOf = (connection: string) =>
  read(`connections:\n  asana: ${connection}\n`).problems.map((problem) => formatProblem(problem));

Deno.test("connections are read with their positions", () => {
  const { settings, problems } = read(
    "connections:\n" +
      "  pat: { bearer: ASANA_PAT, hosts: [app.asana.com] }\n" +
      "  asana:\n    oauth: { authorize: https://app.asana.com/a, token: https://app.asana.com/t }\n" +
      "    client: ASANA_ID\n    secret: ASANA_SECRET\n    scopes: [default]\n    hosts: ['app.asana.com', '127.0.0.1:8099']\n",
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(settings.connections, [
    {
      name: "pat",
      at: { line: 2, column: 3, length: 3 },
      kind: "bearer",
      bearer: "ASANA_PAT",
      hosts: ["app.asana.com"],
    },
    {
      name: "asana",
      at: { line: 3, column: 3, length: 5 },
      kind: "oauth",
      oauth: { authorize: "https://app.asana.com/a", token: "https://app.asana.com/t", parameters: {} },
      client: "ASANA_ID",
      secret: "ASANA_SECRET",
      scopes: ["default"],
      grant: "authorization_code",
      hosts: ["app.asana.com", "127.0.0.1:8099"],
    },
  ]);
});

Deno.test("a bad connection is a problem at its position that says what would work", () => {
  const cases: [connection: string, expected: RegExp][] = [
    ["{ bearer: ASANA_PAT }", /^whenthen.yaml:2:10: expected a list of hosts such as \[app\.asana\.com\]/],
    ["{ bearer: ASANA_PAT, hosts: [] }", /expected the hosts that get the token/],
    [
      "{ bearer: ASANA_PAT, hosts: ['https://app.asana.com'] }",
      /^whenthen.yaml:2:39: expected a host without scheme.*write app\.asana\.com/,
    ],
    ["{ bearer: ASANA_PAT, hosts: [app.asana.com/api] }", /write app\.asana\.com$/],
    ["{ bearer: ASANA_PAT, hosts: ['*.asana.com'] }", /expected a host such as app\.asana\.com, got "\*\.asana\.com"/],
    ["{ bearer: ASANA_PAT, hosts: [a.b], host: 1 }", /unknown setting "host"\n +did you mean "hosts"/],
    ["{ bearer: 1/12345:abcdef, hosts: [a.b] }", /the name of a secret such as ASANA_PAT, never the token itself/],
    ["{ bearer: A, client: B, hosts: [a.b] }", /"bearer" is a token that you have already; remove one of the two/],
    ["{ hosts: [a.b] }", /expected bearer: with the name of a secret, or oauth: with a server/],
    ["{ oauth: { issuer: 'https://a.b' }, hosts: [a.b] }", /oauth needs client:/],
    [
      "{ oauth: { isuer: 'https://a.b' }, client: A, hosts: [a.b] }",
      /unknown setting "isuer"\n +did you mean "issuer"/,
    ],
    ["{ oauth: { issuer: a.b }, client: A, hosts: [a.b] }", /expected an address with https:\/\/.*got "a\.b"/],
    ["{ oauth: { issuer: 'http://a.b' }, client: A, hosts: [a.b] }", /not sent unencrypted; write https:\/\/a\.b/],
    ["{ oauth: { authorize: 'https://a.b/x' }, client: A, hosts: [a.b] }", /expected issuer: whose metadata/],
    ["{ oauth: { token: 'https://a.b/x' }, client: A, hosts: [a.b] }", /authorization_code needs authorize:/],
    [
      "{ oauth: { issuer: 'https://a.b' }, client: A, grant: device, hosts: [a.b] }",
      /expected one of authorization_code, device_code/,
    ],
    [
      "{ oauth: { issuer: 'https://a.b' }, client: A, grant: client_credentials, hosts: [a.b] }",
      /client_credentials need secret:/,
    ],
  ];
  for (const [connection, expected] of cases) {
    const problems = problemsOf(connection);
    assert.ok(problems.some((problem) => expected.test(problem)), `${connection}: ${problems.join("\n")}`);
    assert.ok(problems.length <= 2, `${connection}: ${problems.join("\n")}`);
  }
  assert.match(read("connections: { 1a: {} }").problems[0].message, /expected the name of a connection/);
});

Deno.test("missing secrets and a missing WHENTHEN_KEY are warnings; the id of a client may be short", () => {
  const yaml = parseYaml(
    "connections:\n  asana:\n    oauth: { issuer: https://a.b }\n    client: ASANA_ID\n    secret: ASANA_SECRET\n    hosts: [a.b]\n",
    "whenthen.yaml",
  );
  const { settings } = readSettings(yaml, "/rules", undefined);
  const check = (environment: Record<string, string>) =>
    checkConnections(yaml, settings, new Secrets({ environment, files: [], folders: [] })).map((each) =>
      formatProblem(each)
    );
  const [key, ...others] = check({});
  assert.match(
    key,
    /whenthen.yaml:3:5: warning: its tokens cannot be kept: WHENTHEN_KEY is not set\n +make a key with: openssl rand -base64 32/,
  );
  assert.deepEqual(others.map((problem) => problem.split("\n")[0]), [
    "whenthen.yaml:5:13: warning: the secret ASANA_SECRET is not set",
    "whenthen.yaml:4:13: warning: the secret ASANA_ID is not set",
  ]);
  const environment = { WHENTHEN_KEY: newKey(), ASANA_ID: "12", ASANA_SECRET: "a good long secret" };
  assert.deepEqual(check(environment), []);
  assert.match(check({ ...environment, WHENTHEN_KEY: "weak" })[0], /WHENTHEN_KEY is not a key of 32 bytes/);
});

Deno.test("an unknown connection is a problem of the rule, with the nearest name; so is an expression", async () => {
  await using folder = await TestFolder.with({
    "whenthen.yaml": "connections: { asana: { bearer: ASANA_PAT, hosts: [app.asana.com] } }\n",
    "good.yaml": step("{ connection: asana }"),
    "near.yaml": step("{ connection: asanna }"),
    "far.yaml": "when: { poll: { http: https://app.asana.com/, auth: { connection: github } } }\nthen: [{ log: x }]\n",
    "data.yaml": step('{ connection: "${{ event.data.who }}" }'),
  }, { environment: { ASANA_PAT: "1/12345:abcdefgh" } });
  assert.deepEqual(short(await folder.load()), [
    "data.yaml:4:25: an expression is not allowed here\n    write the value itself",
    'far.yaml:1:67: unknown connection "github"\n    known here: asana',
    'near.yaml:4:25: unknown connection "asanna"\n    did you mean "asana"?',
  ]);
  // The rules are checked again with other connections, though their files are the same.
  await folder.write({
    "whenthen.yaml": "connections: { github: { bearer: ASANA_PAT, hosts: [api.github.com] } }\n",
  });
  const problems = shown(await folder.load());
  assert.ok(problems.some((problem) => problem.startsWith('good.yaml:4:25: unknown connection "asana"')));
  assert.ok(!problems.some((problem) => problem.startsWith("far.yaml")));
});

/** Without the line of the file and its caret. */
function short(loaded: Loaded): string[] {
  return shown(loaded).map((text) => text.split("\n")).map((lines) => [lines[0], lines.at(-1)].join("\n"));
}

function step(auth: string): string {
  return `when: { event: x }\nthen:\n  - http: GET https://app.asana.com/\n    auth: ${auth}\n`;
}
