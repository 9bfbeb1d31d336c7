/**
 * The names that a test may use for the step at a path, longest first: the path, and each suffix of it down to the id, with and
 * without iterations.
 */
export function stepNames(path: string): string[] {
  const parts = path.split("/");
  return parts.flatMap((_, index) => {
    const end = parts.slice(index).join("/");
    return [end, withoutIterations(end)];
  });
}

/** Whether a name in a test means the step at a path. */
export function isStep(name: string, path: string): boolean {
  return stepNames(path).includes(name);
}

/** `lines[3]/save#2` → `lines/save` */
export function withoutIterations(path: string): string {
  return path.replaceAll(/[[@#]\d+\]?/g, "");
}
