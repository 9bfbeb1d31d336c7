import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import manifest from "../../../package.json" with { type: "json" };
import { runTool } from "../npm_package.ts";
import { type Target, TARGETS } from "../targets.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** What goes into a Debian package, beside the binary. */
export interface DebianContents {
  binary: string;
  manPage: string;
  /** Path below `/`, with the text of the file. */
  files: Map<string, string>;
  /** Seconds since 1970: the newest time of any file in it. */
  time: number;
}

/** Before its files go: ends the service, which would otherwise run on without them. */
const BEFORE_REMOVAL = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now whenthen.service || true
fi
`;

/**
 * Packs a Debian package with `dpkg-deb`.
 * @param draft an empty folder to work in
 * @param into the folder for the package
 * @returns the name of the package
 */
export async function packDebian(target: Target, contents: DebianContents, draft: string, into: string): Promise<string> {
  const architecture = TARGETS[target].debian;
  // A version before a release sorts before it.
  const version = manifest.version.replace("-", "~");
  const put = async (path: string, data: string | Uint8Array, mode = 0o644) => {
    await mkdir(dirname(join(draft, path)), { recursive: true });
    await writeFile(join(draft, path), data);
    await chmod(join(draft, path), mode);
  };
  await mkdir(join(draft, "usr/bin"), { recursive: true });
  await copyFile(contents.binary, join(draft, "usr/bin/whenthen"));
  await chmod(join(draft, "usr/bin/whenthen"), 0o755);
  await put("usr/share/man/man1/whenthen.1.gz", packed(contents.manPage));
  const changes = await readFile(join(ROOT, "CHANGELOG.md"), "utf8");
  await put("usr/share/doc/whenthen/changelog.gz", packed(changes));
  const unit = await readFile(join(ROOT, "examples/12-systemd/whenthen.service"), "utf8");
  await put(
    "usr/lib/systemd/system/whenthen.service",
    unit.replace("/usr/local/bin/", "/usr/bin/").replace(/^Documentation=.*$/m, "Documentation=man:whenthen(1)"),
  );
  for (const [path, text] of contents.files) await put(path, text);
  await mkdir(join(draft, "etc/whenthen/rules"), { recursive: true });
}
