import { readdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import manifest from "../../package.json" with { type: "json" };
import { embedded } from "../../runtime/host/embedded.ts";

/** The notice of a part of the program. */
export interface Notice {
  name: string;
  version: string;
  /** As its package names it, such as `MIT`. */
  license: string;
  /** The texts that its authors want to be kept with copies. */
  text: string;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Packages of which the binary has files beside the bundle; bin/build/compile.ts embeds them. */
const BESIDE = ["esbuild", "htmx.org", "sql.js", "@octokit/webhooks-types"];

/** Files of a package that hold its notices. */
const NOTICES = /^(licen[cs]e|copying|notice|copyright)([.-]|$)/i;

/** What is in the binary that is no package, with where its authors keep their notices. */
const RUNTIMES: Notice[] = [
  {
    name: "Bun",
    version: manifest.config.bun,
    license: "MIT",
    text:
      "Bun runs the program. It is licensed under the MIT license, and contains JavaScriptCore of WebKit, licensed under " +
      "the LGPL, version 2, and other libraries. Their licenses, and how to link Bun with another build of JavaScriptCore:\n" +
      `https://github.com/oven-sh/bun/blob/bun-v${manifest.config.bun}/LICENSE.md\n`,
  },
  {
    name: "Go",
    version: "as esbuild was built with",
    license: "BSD-3-Clause",
    text: "The executable of esbuild contains the runtime and the standard library of Go. Their license:\n" +
      "https://go.dev/LICENSE\n",
  },
];

/**
 * The notices of all that is in this program, its own first. From source these are the packages that it depends on, in `node_modules`.
 */
export async function licenses(): Promise<Notice[]> {
  if (embedded) return JSON.parse(gunzipSync(await readFile(embedded.licenses)).toString());
  return await noticesOf(await dependencies());
}

/** The notices of a binary, compressed, for {@link licenses}. @param inputs the files that its bundles were made of */
export async function packLicenses(inputs: string[]): Promise<Uint8Array> {
  return gzipSync(JSON.stringify([...await noticesOf(await packagesOf(inputs)), ...RUNTIMES]));
}

/** The folders of the packages in a binary. @param inputs the files that its bundles were made of, relative to the project */
export async function packagesOf(inputs: string[]): Promise<string[]> {
  const own = /^(node_modules\/(?:\.deno\/[^/]+\/node_modules\/)?(?:@[^/]+\/)?[^/]+)\//;
  const bundled = inputs.map((path) => own.exec(path)?.[1]).filter((folder) => folder !== undefined);
  const beside = BESIDE.map((name) => `node_modules/${name}`);
  return await realFolders([...bundled, ...beside].map((folder) => join(ROOT, folder)));
}

/** The folders of all packages that the program depends on, directly or not. */
async function dependencies(): Promise<string[]> {
  const found = new Set<string>();
  const open = await realFolders(Object.keys(manifest.dependencies).map((name) => join(ROOT, "node_modules", name)));
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    if (found.has(folder)) continue;
    found.add(folder);
    const { name, dependencies = {} } = await readManifest(folder);
    // Deno and npm put what a package depends on beside it, or into its own folder.
    const beside = folder.slice(0, -name.length);
    for (const needed of Object.keys(dependencies)) {
      const places = [join(folder, "node_modules"), beside, join(ROOT, "node_modules")];
      const real = await Promise.all(places.map((place) => realpath(join(place, needed)).catch(() => undefined)));
      open.push(...real.filter((path) => path !== undefined).slice(0, 1));
    }
  }
  return [...found];
}

async function realFolders(paths: string[]): Promise<string[]> {
  return [...new Set(await Promise.all([...new Set(paths)].map((path) => realpath(path))))];
}

/** The notices of the program itself and of the packages in these folders, by name. */
async function noticesOf(folders: string[]): Promise<Notice[]> {
  const [own, ...others] = await Promise.all([ROOT, ...folders].map(noticeOf));
  return [own, ...others.sort((a, b) => a.name < b.name ? -1 : 1)];
}

async function noticeOf(folder: string): Promise<Notice> {
  const { name, version, license = "see its text", author } = await readManifest(folder);
  const files = (await readdir(folder)).filter((file) => NOTICES.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  const by = typeof author === "object" ? author.name : author;
  const text = texts.length > 0
    ? texts.join("\n")
    : `Its package has no text of the license.${by ? ` By ${by}` : ""}\n`;
  return { name, version, license, text };
}

interface Manifest {
  name: string;
  version: string;
  license?: string;
  author?: string | { name: string };
  dependencies?: Record<string, string>;
}

async function readManifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
}
