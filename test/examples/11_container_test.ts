import assert from "node:assert/strict";
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, chown, cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { BINARY } from "../binary/binary.ts";
import { Program, temporaryFolder } from "../e2e/program.ts";
import { TIMEOUT } from "../e2e/until.ts";
import { ROOT } from "./example.ts";

const EXAMPLE = join(ROOT, "examples/11-container");
const CACHE = join(ROOT, "node_modules/.cache/whenthen");
const LIBC = ["dpkg", "-L", "libc6"];

/** Debian's `tini`, cached beside other downloads; undefined if it is not available. */
function findInit(): string | undefined {
  const path = join(CACHE, "usr/bin/tini-static");
  const script = "apt-get download -qq tini && dpkg-deb -x tini_*.deb . && rm tini_*.deb";
  if (!existsSync(path)) spawnSync("sh", ["-c", script], { cwd: CACHE });
  return [path, "/usr/bin/tini-static"].find(existsSync);
}

/** Whether this machine can do what the test needs of a container runtime, and has the parts of the image. */
const mayContain = BINARY !== "" && process.getuid?.() === 0 &&
  [["unshare", "--pid", "--fork", "--mount", "--mount-proc", "true"], LIBC]
    .every(([program, ...args]) => spawnSync(program, args).status === 0);
const init = mayContain ? findInit() : undefined;

Deno.test({
  name:
    "example 11: in a tree of glibc, init, program and rules, hooks and TypeScript work, no zombies remain, SIGTERM ends it",
  ignore: init === undefined,
  fn: async () => {
    await using folder = await temporaryFolder();
    const root = join(folder.path, "root");
    const image = await build(root, folder.path);
    // A user's rule that leaves orphans behind.
    for (const program of ["/bin/sh", "/usr/bin/setsid", "/bin/sleep"]) await put(program, join(root, program));
    await writeFile(
      join(root, "etc/whenthen/rules/orphan.yaml"),
      "when: { webhook: /orphan, auth: none }\nthen:\n" +
        "  - run: [sh, -c, 'setsid sleep 0.2 > /dev/null 2>&1 & setsid sleep 1000 > /dev/null 2>&1 &']\n  - log: orphans are left\n",
    );

    await using container = run(root, image);
    const first = await container.first();
    const listening = await container.program.waitForMessage("Listening on ");
    const port = /:(\d+)/.exec(listening.message.replace("http://", ""))![1];
    const post = (path: string, body: unknown) =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: "POST",
        signal: AbortSignal.timeout(TIMEOUT),
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    const greeted = await post("/hooks/hello", { name: "Ada" });
    assert.deepEqual(await greeted.json(), { text: "Hello, Ada" });
    await container.program.waitForMessage('"Hello, Ada" has 2 words');

    await (await post("/hooks/orphan", {})).body?.cancel();
    await container.program.waitForMessage("orphans are left");
    const names = () => childrenOf(first).map(({ name, state }) => `${state === "Z" ? "zombie " : ""}${name}`).sort();
    await until(() => names().join() === "sleep,whenthen", () => `children of the init: ${names()}`);

    process.kill(first, "SIGTERM");
    assert.equal(await container.program.end(), 0, container.program.output);
  },
});

interface Image {
  user: string;
  command: string[];
}

/** Builds what the Dockerfile describes, from this machine's package of glibc and the init's package. */
async function build(root: string, scratch: string): Promise<Image> {
  for (const path of ["proc", "dev", "tmp"]) await mkdir(join(root, path), { recursive: true });
  await chmod(join(root, "tmp"), 0o1777);
  const libc = execFileSync(LIBC[0], LIBC.slice(1), { encoding: "utf8" }).split("\n");
  for (const file of libc.filter((path) => /\.so(\.\d+)*$/.test(path))) await put(file, join(root, file));

  const parts = join(scratch, "parts");
  await mkdir(join(parts, "empty"), { recursive: true });
  await put(init!, join(parts, "usr/bin/tini-static"));

  const context = join(scratch, "context");
  await cp(EXAMPLE, context, { recursive: true });
  await symlink(BINARY, join(context, "whenthen"));
  const text = await readFile(join(EXAMPLE, "Dockerfile"), "utf8");
  for (const [, options, from, to] of text.matchAll(/^COPY ((?:--\S+ )*)(\S+) (\S+)$/gm)) {
    await put(join(options.includes("--from=parts") ? parts : context, from), join(root, to));
    const owner = /--chown=(\d+):(\d+)/.exec(options);
    if (owner) await chown(join(root, to), Number(owner[1]), Number(owner[2]));
  }
  const words = (instruction: string): string[] =>
    JSON.parse(new RegExp(`^${instruction} (\\[.*\\])$`, "m").exec(text)![1]);
  const user = /^USER (\S+)$/m.exec(text)![1];
  return { user, command: [...words("ENTRYPOINT"), ...words("CMD"), "--port", "0"] };
}

async function put(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  // In a separate process: a child that another test starts meanwhile would inherit the open file, and a file open for writing
  // cannot be started (ETXTBSY).
  await promisify(execFile)("cp", ["-rLT", from, to]);
}

/** Runs the image's command as the first process of a pid namespace, with `/proc` and `/dev` as a container runtime provides them. */
function run(root: string, { user, command }: Image) {
  const script = 'mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"; exec chroot --userspec="$1" "$0" "${@:2}"';
  const inside = ["bash", "-c", script, root, user, ...command];
  const env = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    WHENTHEN_TOKEN: "a-long-random-text",
  };
  const child = spawn("unshare", ["--pid", "--fork", "--mount", ...inside], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const program = new Program(child, join(root, "var/lib/whenthen"));
  return {
    program,
    /** The pid of the first process outside the namespace. */
    first: async () => {
      await until(() => childrenOf(child.pid!)[0]?.name === "tini", () => `no init:\n${program.output}`);
      return childrenOf(child.pid!)[0].pid;
    },
    // `--kill-child` ends nothing: the signal at a parent's death is dropped where `chroot` changes the user.
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null) spawnSync("pkill", ["-KILL", "-P", String(child.pid)]);
      await program.kill();
    },
  };
}

function childrenOf(parent: number): { pid: number; name: string; state: string }[] {
  const { stdout } = spawnSync("ps", ["--ppid", String(parent), "-o", "pid=,stat=,comm="], { encoding: "utf8" });
  return stdout.trim().split("\n").filter(Boolean).map((line) => {
    const [pid, state, name] = line.trim().split(/\s+/);
    return { pid: Number(pid), name: name.replace("-static", ""), state: state[0] };
  });
}

/** Polls: nothing reports the end of another process. */
async function until(holds: () => boolean, message: () => string): Promise<void> {
  for (let rounds = TIMEOUT / 50; !holds(); rounds--) {
    if (rounds === 0) throw new assert.AssertionError({ message: message() });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
