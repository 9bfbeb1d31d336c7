import { UsageError } from "../../model/errors.ts";
import { SCHEMA_VERSION } from "./schema.ts";

/** A file of the store does not check. */
export class DamagedError extends Error {
  override name = "DamagedError";
}

/** The store was written by a newer program; it is left as it is. */
export class NewerSchemaError extends UsageError {
  override name = "NewerSchemaError";
  constructor(schema: number) {
    super(
      `Cannot open the store: it has schema version ${schema}, this program knows versions up to ${SCHEMA_VERSION}; ` +
        "use the newer program, or another --data folder",
    );
  }
}
