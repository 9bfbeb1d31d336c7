import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { ROOT } from "./example.ts";

/** Makes a copy of example 10 one that runs from source, as its README says. @returns its Procfile */
export async function useSource(folder: string): Promise<{ procfile: string }> {
  await symlink(ROOT, join(folder, "whenthen"));
  const readme = await readFile(join(folder, "README.md"), "utf8");
  const [procfile, manifest] = ["Procfile", "json"].map((language) =>
    new RegExp(`^\`\`\`${language}\n(.+?)^\`\`\``, "ms").exec(readme)![1]
  );
  const { deno } = JSON.parse(manifest).dependencies;
  assert.match(await readFile(join(ROOT, "package.json"), "utf8"), new RegExp(`deno@${deno} `));
  await writeFile(join(folder, "package.json"), manifest);
  return { procfile };
}

/** The command of a type of process in a Procfile. */
export function commandOf(type: string, procfile: string): string {
  return new RegExp(`^${type}: (.+)$`, "m").exec(procfile)![1];
}

/** A dyno: the Procfile's command with the app's programs on the path and a port from outside. */
export function dyno(command: string, cwd: string, env: Record<string, string>) {
  const path = `${dirname(Deno.execPath())}:${process.env.PATH}`;
  const child: ChildProcess = spawn("bash", ["-c", `exec ${command}`], {
    cwd,
    env: { ...process.env, PATH: path, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const address = Promise.withResolvers<string>();
  const read = (text: string) => {
    output += text;
    const listening = /Listening on (http:\S+)\s/.exec(output);
    if (listening) address.resolve(listening[1]);
  };
  child.stdout!.setEncoding("utf8").on("data", read);
  child.stderr!.setEncoding("utf8").on("data", read);
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  ended.then(() => address.reject(new Error(`It ended without listening: ${output}`)));
  address.promise.catch(() => {});
  return { child, ended, output: () => output, url: () => address.promise };
}
