import { messageOf } from "../model/errors.ts";
import type { Position } from "../model/problem.ts";
import type { TestFailure } from "../model/test.ts";
import { notesOn } from "./seen.ts";
import { TestFailed } from "./test_failed.ts";
import type { World } from "./world.ts";

/**
 * Describes a failed test.
 * @param place in the test's file
 * @param world in its current state, if there is one
 */
export async function failureOf(
  error: unknown,
  { file, at }: { file: string; at: Position },
  world?: World,
): Promise<TestFailure> {
  const mismatches = error instanceof TestFailed ? error.mismatches : [];
  const notes = world === undefined ? [] : await notesOn(world);
  return { message: messageOf(error), file, at, mismatches, notes };
}
