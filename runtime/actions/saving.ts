import type { FileDraft } from "../host/run_files.ts";
import type { ActionContext } from "./action.ts";

/**
 * Has a step's file written, and leaves nothing if that fails.
 * @param what for messages: `the answer to GET https://example.org/`
 * @param fill writes the draft and keeps it
 */
export async function saving<T>(
  { run, path, services }: ActionContext<unknown>,
  { name, what }: { name: string; what: string },
  fill: (draft: FileDraft) => Promise<T>,
): Promise<T> {
  const draft = await services.createFile({ run: run.id, step: path, name, what });
  try {
    return await fill(draft);
  } catch (error) {
    await draft.discard();
    throw error;
  }
}
