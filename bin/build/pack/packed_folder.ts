import { Buffer } from "node:buffer";
import { execPath } from "node:process";
import { gunzipSync, gzipSync } from "node:zlib";
import { embedded } from "../../../runtime/host/embedded.ts";
import type { Prebuilt } from "../../../runtime/folder/typescript/prebuilt.ts";
import { readPayload, sha256 } from "./payload.ts";

/** A rules folder as it is packed into the program. */
export interface PackedFolder {
  files: PackedFile[];
  /** Its TypeScript files, bundled. */
  prebuilt: Prebuilt;
}

export interface PackedFile {
  /** Relative to the folder, with forward slashes. */
  path: string;
  executable: boolean;
  /** In base64. */
  content: string;
}

/** Encodes a folder as a payload. */
export function encode(folder: PackedFolder): Buffer {
  return gzipSync(JSON.stringify(folder), { level: 9 });
}

export function decode(payload: Uint8Array): PackedFolder {
  return JSON.parse(gunzipSync(payload).toString());
}

/** The folder packed into this program, with its hash. */
export interface OwnFolder extends PackedFolder {
  hash: string;
}

let own: Promise<OwnFolder | undefined> | undefined;

/**
 * The folder packed into the running program; undefined if there is none. Read once.
 * @throws DamagedError if it is incomplete
 */
export function ownFolder(): Promise<OwnFolder | undefined> {
  return own ??= read();
}

async function read(): Promise<OwnFolder | undefined> {
  const payload = embedded && await readPayload(execPath);
  return payload && { ...decode(payload), hash: sha256(payload).toString("hex").slice(0, 16) };
}
