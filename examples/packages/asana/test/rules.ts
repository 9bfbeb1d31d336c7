import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { type Answered, Folder } from "../../../../test/sources/app.ts";
import { type Asana, TOKEN } from "./asana.ts";

const PACKAGE = new URL("..", import.meta.url).pathname;

/** A rules folder with this package installed in it, connected to the stand-in; `URL` in a file is its address. */
export async function rulesFor(asana: Asana, files: Record<string, string>): Promise<Folder> {
  const own = (await readdir(PACKAGE)).filter((name) => /\.(ts|json)$/.test(name));
  const texts = await Promise.all(own.map((name) => readFile(`${PACKAGE}${name}`, "utf8")));
  return await Folder.with({
    ...Object.fromEntries(own.map((name, index) => [`node_modules/whenthen-asana/${name}`, texts[index]])),
    ".env": `ASANA_PAT=${TOKEN}\n`,
    "whenthen.yaml": `connections: { asana: { bearer: ASANA_PAT, hosts: ["${asana.host}"] } }\n`,
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [name, text.replaceAll("URL", asana.url)])),
  });
}

/** A rule that returns each event of a source; `told` is such as `changed 7`. */
export function tell(source: string, inputs: string, options = ""): string {
  return `
import { poll, rule } from "whenthen";
import { ${source} } from "whenthen-asana";

const source = ${source}({ ${inputs}, url: "URL" });
const options = { auth: { connection: "asana" }, on: ["added", "changed", "removed"], ${options} } as const;
export default rule({
  when: poll(source, options),
  then: ({ event }) => ({ told: \`\${event.type} \${event.subject}\`, ...event.data }),
});
`;
}

/** One pass; what was told, in order. @throws if something failed or is broken */
export async function told(folder: Folder): Promise<string[]> {
  return (await pass(folder)).map((each) => each.told);
}

const seen = new WeakMap<Folder, number>();

/** One pass; the outputs of its runs, in order. @throws if something failed or is broken */
export async function pass(folder: Folder): Promise<Answered[]> {
  const { outputs, failures, failed, broken } = await folder.once();
  assert.deepEqual([failures, failed, broken], [[], [], []]);
  const before = seen.get(folder) ?? 0;
  seen.set(folder, outputs.length);
  return outputs.slice(before);
}
