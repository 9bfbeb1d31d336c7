import assert from "node:assert/strict";
import { checkConnections } from "../../runtime/folder/settings/connections.ts";
import type { Loaded } from "../../runtime/folder/loaded.ts";
import { readSettings } from "../../runtime/folder/settings/settings.ts";
import { parseYaml } from "../../runtime/folder/yaml/yaml.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { Secrets } from "../../runtime/secrets/secrets.ts";
import { shown, TestFolder } from "./loading.ts";
import { newKey } from "../connections/harness.ts";

const read = (text: string) => readSettings(parseYaml(text, "whenthen.yaml"), "/rules", undefined);
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
    'far.yaml:1:67: unknown connection "github"\n    there are asana in whenthen.yaml',
    'near.yaml:4:25: unknown connection "asanna"\n    did you mean asana?',
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
