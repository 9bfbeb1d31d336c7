import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import manifest from "../../../package.json" with { type: "json" };
import { runTool } from "../npm_package.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** What goes into a Debian package. */
export interface DebianContents {
  binary: string;
  manPage: string;
  /** Seconds since 1970: all files get this time, so that the same content gives the same package. */
  time: number;
}

/** The needs of the binary: `ldd` and `objdump -T` show nothing newer. */
const DEPENDS = "libc6 (>= 2.17)";

const DESCRIPTION = `runs a folder of when/then rules
 One program watches a folder of small rule files in YAML or TypeScript. It
 listens to webhooks, polls, watches files and keeps time, runs what the rules
 say, resumes after a crash, and shows what ran, and why other rules did not.
 .
 The service whenthen.service runs the rules in /etc/whenthen/rules; it is off
 until it is enabled.`;

/** Ends the service before the program of a removed package is deleted: it would run on without its file. */
const BEFORE_REMOVAL = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
  systemctl disable --now whenthen.service || true
fi
`;

/**
 * Packs a Debian package with `dpkg-deb`.
 * @param draft an empty folder to work in
 * @param into the folder for the package
 */
export async function packDebian(
  architecture: string,
  { binary, manPage, time }: DebianContents,
  draft: string,
  into: string,
): Promise<void> {
  const put = async (path: string, data: string | Uint8Array, mode = 0o644) => {
    const file = join(draft, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, data);
    await chmod(file, mode);
  };
  await put("usr/bin/whenthen", await readFile(binary), 0o755);
  await put("usr/share/man/man1/whenthen.1.gz", packed(manPage));
  await put("usr/share/doc/whenthen/changelog.gz", packed(await readFile(join(ROOT, "CHANGELOG.md"), "utf8")));
  await put("usr/share/doc/whenthen/copyright", await readFile(join(ROOT, "LICENSE"), "utf8"));
  await put("usr/lib/systemd/system/whenthen.service", await serviceUnit());
  const sums = await checksums(draft);
  await mkdir(join(draft, "etc/whenthen/rules"), { recursive: true });
  // A version before a release sorts before it.
  const version = manifest.version.replace("-", "~");
  await put("DEBIAN/md5sums", sums.text);
  await put("DEBIAN/prerm", BEFORE_REMOVAL, 0o755);
  await put(
    "DEBIAN/control",
    `Package: whenthen
Version: ${version}
Architecture: ${architecture}
Maintainer: the maintainers of whenthen <maintainers@whenthen.invalid>
Installed-Size: ${Math.ceil(sums.bytes / 1024)}
Depends: ${DEPENDS}
Section: utils
Priority: optional
Description: ${DESCRIPTION}
`,
  );
  const name = `whenthen_${version}_${architecture}.deb`;
  const env = { SOURCE_DATE_EPOCH: String(time) };
  // gzip, as every dpkg reads it; xz would make the package a quarter smaller, but takes over a minute.
  await runTool("dpkg-deb", ["--build", "--root-owner-group", "-Zgzip", draft, join(into, name)], draft, env);
}

/** The unit of the example, with the paths of the package. */
async function serviceUnit(): Promise<string> {
  const unit = await readFile(join(ROOT, "examples/12-systemd/whenthen.service"), "utf8");
  return unit.replace("/usr/local/bin/", "/usr/bin/").replace(/^Documentation=.*$/m, "Documentation=man:whenthen(1)");
}

/** The sums with which `dpkg --verify` finds changed files. */
async function checksums(folder: string): Promise<{ text: string; bytes: number }> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).sort();
  let [text, bytes] = ["", 0];
  for (const path of paths) {
    const data = await readFile(path);
    text += `${createHash("md5").update(data).digest("hex")}  ${relative(folder, path)}\n`;
    bytes += data.length;
  }
  return { text, bytes };
}

function packed(text: string): Uint8Array {
  return gzipSync(text, { level: 9 });
}
