import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmod, chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { BINARY } from "../binary/binary.ts";
import { Program } from "../e2e/program.ts";
import { rulesFolder } from "../e2e/folder.ts";
import { ROOT } from "./example.ts";

const UNIT = join(ROOT, "examples/12-systemd/whenthen.service");
const NOBODY = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;

/** The unit's text with the paths of a machine that has nothing installed. */
async function unitFor(root: string): Promise<string> {
  return (await readFile(UNIT, "utf8")).replace("/usr/local/bin/whenthen", BINARY)
    .replace("/etc/whenthen/rules", join(root, "rules")).replace(
      "--data /var/lib/whenthen",
      `--data ${join(root, "state")}`,
    );
}

async function serviceFolder() {
  const folder = await rulesFolder({
    "hello.yaml": "when: start\nthen: [{ run: [id, -u], id: who }, { log: '${{ steps.who.stdout }}' }]\n",
  });
  const root = join(folder.rules, "..");
  await chmod(root, 0o755);
  await mkdir(join(root, "state"), { mode: 0o700 });
  if (NOBODY.uid !== undefined) await chown(join(root, "state"), NOBODY.uid, NOBODY.gid);
  return { ...folder, root };
}

Deno.test({
  name: "example 12: the service's command runs as another user that can write only its state, and ends on SIGTERM",
  ignore: BINARY === "",
  fn: async () => {
    await using folder = await serviceFolder();
    const [command, ...args] = /^ExecStart=(.+)$/m.exec(await unitFor(folder.root))![1].split(" ");
    const env = { PATH: process.env.PATH!, PORT: "0" };
    const child = spawn(command, args, { cwd: "/", env, ...NOBODY, stdio: ["ignore", "pipe", "pipe"] });
    await using program = new Program(child, join(folder.root, "state"));
    assert.equal((await program.fetch("/readyz")).status, 200);
    await program.waitForMessage(String(NOBODY.uid ?? process.getuid!()));
    assert.equal(await program.stop(), 0);
  },
});

Deno.test({
  name: "example 12: systemd-analyze finds nothing wrong with the unit",
  ignore: BINARY === "" || !hasSystemd,
  fn: async () => {
    await using folder = await serviceFolder();
    const unit = join(folder.root, "whenthen.service");
    await writeFile(unit, await unitFor(folder.root));
    const { status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", unit], { encoding: "utf8" });
    assert.equal(`${stderr}${status}`, "0");
  },
});
