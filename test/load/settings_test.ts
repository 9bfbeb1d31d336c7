import assert from "node:assert/strict";
import { readSettings } from "../../runtime/load/settings.ts";
import { parseYaml } from "../../runtime/load/yaml.ts";
import { formatProblem } from "../../runtime/model/problem.ts";

const read = (text: string) => readSettings(parseYaml(text, "whenthen.yaml"), "/rules", undefined);

Deno.test("without a file there are defaults, and .env beside the rules", () => {
  assert.deepEqual(readSettings(undefined, "/rules", undefined), {
    settings: {
      retention: { bytes: 256_000_000, identities: 30 * 86_400_000 },
      limits: {},
      secrets: { files: ["/rules/.env"], folders: [] },
    },
    problems: [],
  });
});

Deno.test("every setting is read into what the program works with", () => {
  const { settings, problems } = read(
    "port: 80\nhost: 0.0.0.0\nretention: { bytes: 1GB, identities: 7d }\nlimits: { api.example.org: 10/s }\n" +
      "secrets: { files: [../live.env], folders: /run/secrets }\nsmtp: { host: mail }\npeople: { anna: a@b.org }\n",
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(settings, {
    port: 80,
    host: "0.0.0.0",
    retention: { bytes: 1_000_000_000, identities: 7 * 86_400_000 },
    limits: { "api.example.org": { count: 10, per: 1_000 } },
    secrets: { files: ["/live.env", "/rules/.env"], folders: ["/run/secrets"] },
    smtp: { host: "mail" },
    people: { anna: "a@b.org" },
  });
  assert.equal(read("retention: 1GB").settings.retention.bytes, 1_000_000_000);
});

Deno.test("what is wrong with a setting is said at its place; unknown ones name the nearest", () => {
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

Deno.test("a bad file keeps the last good settings", () => {
  const { settings } = read("port: 80\n");
  for (const text of ["port: [", "port: high\n", "- 1\n"]) {
    assert.deepEqual(readSettings(parseYaml(text, "whenthen.yaml"), "/rules", settings).settings, settings);
  }
});
