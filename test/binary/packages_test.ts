import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { gunzipSync } from "node:zlib";
import manifest from "../../package.json" with { type: "json" };
import { running } from "../documents.ts";
import { Program, temporaryFolder } from "../e2e/program.ts";
import { BINARY, binaryTest } from "./binary.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const { version } = manifest;
const HOST = `${process.platform}-${process.arch}`;
const MAIN = `whenthen-${version}.tgz`;
const PLATFORM = `whenthen-${HOST}-${version}.tgz`;

/** Runs a program to its end, without colours. */
function run(command: string, args: string[], cwd: string, env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", ...env },
  });
  return { code: status, output: stdout + stderr };
}

function succeed(command: string, args: string[], cwd: string): string {
  const { code, output } = run(command, args, cwd);
  assert.equal(code, 0, `${command} ${args.join(" ")}\n${output}`);
  return output;
}

/** Whether a program is there that only looks at the results. */
function has(command: string): boolean {
  return spawnSync(command, ["--version"]).error === undefined;
}

function buildPackages(binary: string, out: string) {
  return run(Deno.execPath(), ["task", "-q", "packages", "--binary", binary, "--out", out], ROOT);
}

/** Installs packed files into a new project, as on a machine without a network, whose npm has never seen them. */
async function installed(project: string, ...files: string[]): Promise<void> {
  await mkdir(project);
  const flags = ["--offline", "--no-audit", "--no-fund", "--cache", `${project}-cache`];
  succeed("npm", ["install", ...flags, ...files], project);
}

binaryTest("packages: what is built can be installed, and runs", async (test) => {
  await using folder = await temporaryFolder();
  const dist = join(folder.path, "dist");
  const built = buildPackages(BINARY, dist);
  assert.equal(built.code, 0, built.output);
  const packed = (...names: string[]) => names.map((name) => join(dist, name));
  const ownVersion = succeed(BINARY, ["--version"], dist);
  const project = join(folder.path, "project");

  await test.step("sha256sum accepts all files", async () => {
    const names = await readdir(dist);
    const accepted = succeed("sha256sum", ["--strict", "-c", "SHA256SUMS"], dist);
    assert.equal(accepted.trim().split("\n").length, names.length - 1, accepted);
    for (const name of [MAIN, PLATFORM, `whenthen-${HOST}`, "whenthen.1"]) assert.ok(names.includes(name), name);
  });

  await test.step("npm installs them without a network; npx whenthen runs a rule by its webhook", async () => {
    await installed(project, ...packed(MAIN, PLATFORM));
    assert.equal(succeed("npx", ["--offline", "whenthen", "--version"], project), ownVersion);
    assert.match(succeed("npx", ["--offline", "whenthen", "init", "rules"], project), /^ {2}npx whenthen run rules$/m);
    await using program = await running("npx --offline whenthen run rules", project);
    const answer = await fetch(`${program.url}/hooks/hello`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"name":"Ada"}',
    });
    assert.deepEqual(await answer.json(), { text: "Hello, Ada" });
    await program.shown("npx whenthen events");
    const runs = succeed("npx", ["--offline", "whenthen", "runs", "--rule", "hello"], project);
    assert.match(runs, /hello .*succeeded/);
  });

  await test.step("the launcher passes on arguments, exit code and signals", async () => {
    const launcher = join(project, "node_modules/.bin/whenthen");
    assert.equal(run(launcher, ["chek"], project).code, 64);
    const launch = async () => {
      const child = spawn(launcher, ["run", "rules", "--port", "0", "--log", "json"], {
        cwd: project,
        stdio: ["ignore", "pipe", "pipe"],
      });
      const program = new Program(child, join(project, ".whenthen"));
      await program.url();
      return program;
    };
    const binaryOf = async ({ child: { pid } }: Program) =>
      Number(await readFile(`/proc/${pid}/task/${pid}/children`, "utf8"));
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
      await using program = await launch();
      const binary = await binaryOf(program);
      process.kill(program.child.pid!, signal);
      assert.equal(await program.end(), 0, `${signal}: ${program.output}`);
      await assert.rejects(stat(`/proc/${binary}`), { code: "ENOENT" }, "the binary has stopped, too");
    }
    await using program = await launch();
    process.kill(await binaryOf(program), "SIGKILL");
    await program.end();
    assert.equal(program.child.signalCode, "SIGKILL", "the launcher ends as the binary did");
  });

  await test.step("import … from whenthen has types for each setting of TypeScript, and works in Node", async () => {
    const rule = (duration: string) =>
      `import { every, rule } from "whenthen";\nexport default rule({ when: every("${duration}"), then: () => {} });\n`;
    await writeFile(join(project, "right.ts"), rule("5m"));
    await writeFile(join(project, "wrong.ts"), rule("5 min"));
    const check = (file: string, module: string, ...more: string[]) => {
      const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
      const options = ["--noEmit", "--ignoreConfig", "--strict", "--exactOptionalPropertyTypes", "--module", module];
      return run(Deno.execPath(), ["run", "-A", tsc, ...options, ...more, file], project);
    };
    for (const settings of [["nodenext"], ["esnext", "--moduleResolution", "bundler"]] as const) {
      const [module, ...more] = settings;
      assert.deepEqual(check("right.ts", module, ...more), { code: 0, output: "" });
      assert.match(check("wrong.ts", module, ...more).output, /wrong\.ts\(2,\d+\): error TS\d+: [^]*"5 min"/);
    }
    const script = 'import { rule, start } from "whenthen"; console.log(typeof rule, typeof start())';
    assert.equal(succeed("node", ["--input-type=module", "-e", script], project), "function object\n");
  });

  await test.step("without the package of its platform it names what to install", async () => {
    const alone = join(folder.path, "alone");
    await installed(alone, ...packed(MAIN));
    const launcher = join(alone, "node_modules/.bin/whenthen");
    const missing = run(launcher, ["--version"], alone);
    assert.equal(missing.code, 1);
    assert.match(
      missing.output,
      new RegExp(`@whenthen/${HOST}, .* is not installed[^]*npm install @whenthen/${HOST}@${version}\n$`),
    );
    const file = join(alone, "node_modules/whenthen/package.json");
    const { optionalDependencies, ...rest } = JSON.parse(await readFile(file, "utf8"));
    assert.deepEqual(optionalDependencies, { [`@whenthen/${HOST}`]: version });
    await writeFile(file, JSON.stringify({ ...rest, optionalDependencies: { "@whenthen/plan9-x64": version } }));
    const unknown = run(launcher, ["--version"], alone);
    assert.equal(unknown.code, 1);
    assert.match(unknown.output, new RegExp(`runs on plan9-x64, not on ${HOST}; run it from source`));
  });

  await test.step({
    name: "dpkg installs the Debian package, verifies and removes it",
    ignore: !has("dpkg"),
    fn: async () => {
      const root = join(folder.path, "root");
      for (const name of ["updates", "info", "triggers"]) {
        await mkdir(join(root, "var/lib/dpkg", name), { recursive: true });
      }
      await writeFile(join(root, "var/lib/dpkg/status"), "");
      // The root holds nothing else: neither the C library, nor a shell for the script.
      const flags = [`--root=${root}`, "--force-not-root", "--force-depends", "--force-script-chrootless"];
      const dpkg = (...args: string[]) => succeed("dpkg", [...flags, `--log=${root}/log`, ...args], folder.path);
      const [name] = (await readdir(dist)).filter((name) => name.endsWith(".deb"));
      dpkg("--install", join(dist, name));
      assert.match(dpkg("--status", "whenthen"), /^Status: install ok installed$[^]*^Depends: libc6 /m);
      assert.equal(succeed(join(root, "usr/bin/whenthen"), ["--version"], root), ownVersion);
      assert.equal(dpkg("--verify", "whenthen"), "");
      const completions = await readFile(join(root, "usr/share/bash-completion/completions/whenthen"), "utf8");
      assert.equal(completions, succeed(BINARY, ["completion", "bash"], root));
      assert.match(
        await readFile(join(root, "usr/share/doc/whenthen/copyright"), "utf8"),
        /"whenthen licenses" prints[^]*Apache License/,
      );
      const unit = await readFile(join(root, "usr/lib/systemd/system/whenthen.service"), "utf8");
      assert.match(unit, /^ExecStart=\/usr\/bin\/whenthen run \/etc\/whenthen\/rules /m);
      assert.ok((await stat(join(root, "etc/whenthen/rules"))).isDirectory(), "the folder of the unit");
      const page = join(root, "usr/share/man/man1/whenthen.1.gz");
      assert.equal(gunzipSync(await readFile(page)).toString(), await readFile(join(dist, "whenthen.1"), "utf8"));
      dpkg("--remove", "whenthen");
      await assert.rejects(stat(join(root, "usr/bin/whenthen")));
    },
  });

  await test.step("the manual page names every command and option of the binary", async () => {
    const page = (await readFile(join(dist, "whenthen.1"), "utf8")).replaceAll("\\-", "-");
    const help = succeed(BINARY, ["--help"], dist).split("Commands:")[1];
    const commands = [...help.matchAll(/^ {2}([\w-]+)/gm)].map(([, name]) => name).filter((name) => name !== "help");
    for (const command of commands) {
      assert.match(page, new RegExp(`^\\.SS "whenthen ${command}\\b`, "m"));
      for (const [option] of succeed(BINARY, [command, "--help"], dist).matchAll(/^ {2}(?:-\w, )?--[\w-]+/gm)) {
        assert.ok(page.includes(option.trim()), `${option} of ${command}`);
      }
    }
  });

  await test.step({
    name: "groff finds nothing wrong with the manual page, and prints what was meant",
    ignore: !has("groff"),
    fn: () => {
      const { code, output } = run("groff", ["-man", "-Tutf8", "-ww", "-P-cbou", "whenthen.1"], dist);
      assert.equal(code, 0, output);
      assert.doesNotMatch(output, /^(troff|groff|<standard|whenthen\.1:)/m);
      assert.match(output, /^ {3}whenthen run \[folder\]$[^]*--set <rule\.key=value>$/m);
      assert.match(output, /curl -d '\{"name":"Ada"\}' http/);
    },
  });
});

binaryTest("packages: two builds of the same are equal; what cannot be built is refused with a reason", async () => {
  await using folder = await temporaryFolder();
  const path = (name: string) => join(folder.path, name);
  // Small, so that a build takes seconds: what is in the program does not matter here.
  const program = async (name: string, says: string) => {
    await writeFile(path(name), `#!/bin/sh\necho '${says} (commit 0123456789, ${HOST})'\n`);
    await chmod(path(name), 0o755);
    return path(name);
  };
  const small = await program("small", version);
  for (const name of ["first", "second"]) {
    const { code, output } = buildPackages(small, path(name));
    assert.equal(code, 0, output);
  }
  const [first, second] = await Promise.all(
    ["first", "second"].map((name) => readFile(path(`${name}/SHA256SUMS`), "utf8")),
  );
  assert.equal(first, second);
  assert.deepEqual((await readdir(folder.path)).sort(), ["first", "second", "small"], "drafts are removed");

  const old = buildPackages(await program("old", "0.0.1"), path("first"));
  assert.equal(old.code, 1);
  assert.match(
    old.output,
    new RegExp(`old: it is version 0\\.0\\.1, the project ${version}; compile it: deno task compile`),
  );
  assert.equal(await readFile(path("first/SHA256SUMS"), "utf8"), first, "what was there stays");
  const other = buildPackages(small, ROOT);
  assert.equal(other.code, 1);
  assert.match(other.output, /Cannot replace \S+: it holds no packages; name another folder with --out/);
});

binaryTest("the binary holds no path of the machine that built it, so that two builds can be equal", async () => {
  const binary = await readFile(BINARY);
  for (const path of ["whenthen-compile-", ROOT]) assert.equal(binary.indexOf(path), -1, path);
});
