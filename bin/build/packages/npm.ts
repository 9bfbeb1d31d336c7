import { build } from "esbuild";
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execPath } from "node:process";
import { fileURLToPath } from "node:url";
import manifest from "../../../package.json" with { type: "json" };
import { editorTypes } from "../editor_types.ts";
import { runTool } from "../npm_package.ts";
import type { Target } from "../targets.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** What all npm packages have in common. */
const SHARED = { version: manifest.version, license: manifest.license, type: "module" };

/** What the page of the package says. */
const README = `# whenthen

When this happens, do that: a program that runs a folder of rules.

\`\`\`sh
npx whenthen init rules
npx whenthen run rules
\`\`\`

The program is a binary in the package of your platform, \`@whenthen/linux-x64\` and the like; this package starts it with Node.
\`import { rule } from "whenthen"\` has types for editors. \`npx whenthen --help\` lists the commands, and so does \`man whenthen\` after \`npm install -g\`.
`;

/**
 * Packs the main package: it starts the binary of the platform's package, and has what `import … from "whenthen"` means.
 * @param targets those that have a package with their binary
 * @param draft an empty folder to work in
 * @param into the folder for the packed file
 */
export async function packMain(
  targets: Target[],
  manPage: string,
  draft: string,
  into: string,
): Promise<void> {
  const bundled = { absWorkingDir: ROOT, bundle: true, format: "esm", platform: "node", target: "node18" } as const;
  await build({ ...bundled, entryPoints: ["bin/build/packages/launcher.ts"], outfile: join(draft, "bin/whenthen.js") });
  await chmod(join(draft, "bin/whenthen.js"), 0o755);
  await build({ ...bundled, entryPoints: ["runtime/sdk/mod.ts"], outfile: join(draft, "sdk.js") });
  await writeDeclarations(join(draft, "types"), `${draft}-sources`);
  await put(join(draft, "man/whenthen.1"), manPage);
  await pack(draft, into, README, {
    name: "whenthen",
    ...SHARED,
    description: manifest.description,
    bin: { whenthen: "bin/whenthen.js" },
    man: ["man/whenthen.1"],
    types: "types/sdk/mod.d.ts",
    exports: { ".": { types: "./types/sdk/mod.d.ts", default: "./sdk.js" }, "./package.json": "./package.json" },
    engines: { node: ">=18" },
    optionalDependencies: Object.fromEntries(targets.map((target) => [nameOf(target), manifest.version])),
  });
}

/** Packs the package of one platform: the binary. The parameters are those of {@link packMain}. */
export async function packPlatform(
  target: Target,
  binary: string,
  draft: string,
  into: string,
): Promise<void> {
  await mkdir(join(draft, "bin"), { recursive: true });
  await copyFile(binary, join(draft, "bin/whenthen"));
  await chmod(join(draft, "bin/whenthen"), 0o755);
  const [os, cpu] = target.split("-");
  const readme = `# ${nameOf(target)}\n\nThe binary of whenthen for ${target}, which the package whenthen starts.\n`;
  await pack(draft, into, readme, {
    name: nameOf(target),
    ...SHARED,
    description: `The binary of whenthen for ${target}`,
    os: [os],
    cpu: [cpu],
    // npm leaves it out on a Linux with another C library, such as Alpine.
    ...os === "linux" && { libc: ["glibc"] },
    preferUnplugged: true,
  });
}

function nameOf(target: Target): string {
  return `@whenthen/${target}`;
}

/** `npm pack` gives the same file for the same content: it leaves out owners and times. */
async function pack(draft: string, into: string, readme: string, manifest: object): Promise<void> {
  await copyFile(join(ROOT, "LICENSE"), join(draft, "LICENSE"));
  await put(join(draft, "README.md"), readme);
  await put(join(draft, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  await runTool("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", into], draft);
}

/** Writes the types of the SDK as declarations: they fit every setting of the user's compiler. */
async function writeDeclarations(into: string, sources: string): Promise<void> {
  const texts = await editorTypes();
  for (const [path, text] of texts) await put(join(sources, path), text);
  const [entry] = texts.keys();
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const checks = "--target es2024 --module esnext --moduleResolution bundler --strict --skipLibCheck --noCheck";
  const emit = "--declaration --emitDeclarationOnly --allowImportingTsExtensions --rootDir . --outDir";
  await runTool(execPath, ["run", "-A", tsc, ...`${checks} ${emit}`.split(" "), into, entry], sources);
  // The compiler writes no declarations for those that are declarations already.
  for (const [path, text] of texts) if (path.endsWith(".d.ts")) await put(join(into, path), text);
  for (const file of await readdir(into, { recursive: true })) {
    if (!file.endsWith(".d.ts")) continue;
    const text = await readFile(join(into, file), "utf8");
    await writeFile(join(into, file), text.replaceAll(/(from "\.{1,2}\/[^"]+?)(?:\.d)?\.ts"/g, '$1.js"'));
  }
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
