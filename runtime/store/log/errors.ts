import { UsageError } from "../../model/errors.ts";

/** The version of the formats of segments and block files. */
export const FORMAT_VERSION = 1;

/** A file of the store is damaged. */
export class DamagedError extends Error {
  override name = "DamagedError";
}

/** A newer program wrote the store; it is left unchanged. */
export class NewerFormatError extends UsageError {
  override name = "NewerFormatError";
  constructor(version: number) {
    super(
      `Cannot open the store: it has format version ${version}, this program knows versions up to ${FORMAT_VERSION}; ` +
        "use the newer program, or another --data folder",
    );
  }
}

/** The store was written before the format had a version; it is left unchanged. */
export class OlderStoreError extends UsageError {
  override name = "OlderStoreError";
  constructor(folder: string, name: string) {
    super(
      `Cannot open the store in ${
        JSON.stringify(folder)
      }: ${name} is from an earlier version of whenthen, whose stores ` +
        "this one cannot read; move the folder away, or start with another --data folder",
    );
  }
}
