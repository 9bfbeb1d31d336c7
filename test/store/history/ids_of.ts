import { Buffer } from "node:buffer";
import { readIds } from "../../../runtime/store/history/ids_file.ts";

/** The packed identities of a file, in one buffer. */
export async function idsOf(file: Uint8Array): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  await readIds(file, {
    begin() {},
    read(packed) {
      for (let index = 0; index < packed.count; index++) all.push(packed.bytes(index).slice());
    },
  });
  return Buffer.concat(all);
}
