/**
 * Why a run is ended from outside; the reason of its abort signal. `shutdown` suspends the run so that it resumes after
 * the last recorded step; `cancelled` ends it.
 */
export class Interruption extends Error {
  override name = "Interruption";
  constructor(readonly kind: "cancelled" | "shutdown", message: string) {
    super(message);
  }
}
