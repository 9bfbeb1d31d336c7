import type { Mismatch } from "../model/test.ts";

/** An expectation of a test has failed. */
export class TestFailed extends Error {
  override name = "TestFailed";
  constructor(message: string, readonly mismatches: Mismatch[] = []) {
    super(message);
  }
}
