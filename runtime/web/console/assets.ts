import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { Context } from "hono";
import { embedded } from "../../host/embedded.ts";

/** A file that pages load. Its path contains a hash of its content, so browsers may keep it for ever. */
interface Asset {
  path: string;
  type: string;
  text: string;
  gzipped: Uint8Array<ArrayBuffer>;
}

/** The files that all pages load. */
export interface Assets {
  script: Asset;
  style: Asset;
  icon: Asset;
}

const ICON =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0b57d0"/>` +
  `<path d="M3 4l2.5 8L8 6l2.5 6L13 4" fill="none" stroke="#fff" stroke-width="1.6" stroke-linejoin="round"/></svg>`;

let loading: Promise<Assets> | undefined;

/** The files, loaded on the first request for a page. */
export function assets(): Promise<Assets> {
  return loading ??= load();
}

/** Answers with the asset of that name; undefined if there is none, for example if it belongs to an older version. */
export async function assetFor(c: Context): Promise<Response | undefined> {
  const asset = Object.values(await assets()).find(({ path }) => path === c.req.path);
  if (asset === undefined) return undefined;
  const headers = {
    "content-type": asset.type,
    "cache-control": "public, max-age=31536000, immutable",
    vary: "accept-encoding",
  };
  const zipped = /\bgzip\b/.test(c.req.header("accept-encoding") ?? "");
  return zipped
    ? c.body(asset.gzipped, 200, { ...headers, "content-encoding": "gzip" })
    : c.body(asset.text, 200, headers);
}

async function load(): Promise<Assets> {
  const { script, style } = embedded ? await readEmbedded(embedded.console) : await bundleAssets();
  return {
    script: assetOf("console", "js", "text/javascript; charset=utf-8", script),
    style: assetOf("console", "css", "text/css; charset=utf-8", style),
    icon: assetOf("icon", "svg", "image/svg+xml", ICON),
  };
}

function assetOf(name: string, extension: string, type: string, text: string): Asset {
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 12);
  return { path: `/assets/${name}-${hash}.${extension}`, type, text, gzipped: new Uint8Array(gzipSync(text)) };
}

/** The texts of the script and of the stylesheet. */
export interface AssetTexts {
  script: string;
  style: string;
}

async function readEmbedded({ script, style }: AssetTexts): Promise<AssetTexts> {
  return { script: await readFile(script, "utf8"), style: await readFile(style, "utf8") };
}

/** Bundles the script with htmx, and the stylesheet. The binary is built with the result; from source it takes 50 ms once. */
export async function bundleAssets(): Promise<AssetTexts> {
  // Synchronous: the asynchronous API would leave a service process running that must be stopped.
  const { buildSync } = await import("esbuild");
  const [script, style] = ["console_script.ts", "style.css"].map((file) => {
    const { outputFiles } = buildSync({
      entryPoints: [fileURLToPath(new URL(file, import.meta.url))],
      bundle: true,
      write: false,
      minify: true,
      format: "iife",
      target: "es2022",
      legalComments: "none",
    });
    return outputFiles[0].text;
  });
  return { script, style };
}
