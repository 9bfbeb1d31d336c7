import assert from "node:assert/strict";
import { cp, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { CALL, linesOf, readDocuments, ROOT, walk } from "../documents.ts";
import { temporaryFolder } from "../e2e/program.ts";
import { BINARY, binaryTest } from "./binary.ts";

const STARTS = ["npm start", "deno task start"];
const LEFT_OUT = ["npm test", "deno task test", "npm run compile"];
const START = "bin/whenthen run";

binaryTest("documents: every command of README and docs/ runs with the binary", async () => {
  const documents = await readDocuments();
  const commands = documents.flatMap((document) => linesOf("sh", document));
  assert.ok(commands.some((line) => line.startsWith("bin/whenthen pack ")), commands.join("\n"));

  for (const document of documents.filter((document) => linesOf("sh", document).length > 0)) {
    await using project = await temporaryFolder();
    for (const name of ["rules", "examples"]) await cp(join(ROOT, name), join(project.path, name), { recursive: true });
    await mkdir(join(project.path, "bin"));
    await symlink(BINARY, join(project.path, "bin/whenthen"));
    const command = (line: string) => {
      if (LEFT_OUT.includes(line)) return undefined;
      const isStart = STARTS.includes(line);
      return { line: isStart ? START : line.replace(CALL, "bin/whenthen"), isStart };
    };
    await walk(document, { cwd: project.path, start: START, command }, document.path === "docs/tutorial.md");
  }
});
