import type { Mismatch } from "../model/test.ts";

/** Something in a test is not as the test says. */
export class TestFailed extends Error {
  override name = "TestFailed";
  constructor(message: string, readonly mismatches: Mismatch[] = []) {
    super(message);
  }
}
