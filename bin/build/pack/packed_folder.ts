import { Buffer } from "node:buffer";
import { execPath } from "node:process";
import { gunzipSync, gzipSync } from "node:zlib";
import { embedded } from "../../../runtime/host/embedded.ts";
import type { Prebuilt } from "../../../runtime/folder/typescript/prebuilt.ts";
import { readPayload, sha256 } from "./payload.ts";

/** A rules folder as it travels inside the program. */
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

/** Makes a payload of a folder. */
export function encode(folder: PackedFolder): Buffer {
  return gzipSync(JSON.stringify(folder), { level: 9 });
}

export function decode(payload: Uint8Array): PackedFolder {
  return JSON.parse(gunzipSync(payload).toString());
}

/** The folder inside this program, and the hash of it. */
export interface OwnFolder extends PackedFolder {
  hash: string;
}

let own: Promise<OwnFolder | undefined> | undefined;

/**
 * What is packed into the program that runs; undefined where nothing is. Read once.
 * @throws DamagedError where it is not whole
 */
export function ownFolder(): Promise<OwnFolder | undefined> {
  return own ??= read();
}

async function read(): Promise<OwnFolder | undefined> {
  const payload = embedded && await readPayload(execPath);
  return payload && { ...decode(payload), hash: sha256(payload).toString("hex").slice(0, 16) };
}
