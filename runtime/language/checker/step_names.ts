/**
 * The names by which a test may speak of the step at a path, the longest first: the path, and each end of it down to the id, with
 * and without its iterations.
 */
export function stepNames(path: string): string[] {
  const parts = path.split("/");
  return parts.flatMap((_, index) => {
    const end = parts.slice(index).join("/");
    return [end, withoutIterations(end)];
  });
}

/** Whether a step at a path is the one that a test names. */
export function isStep(name: string, path: string): boolean {
  return stepNames(path).includes(name);
}

/** `lines[3]/save#2` → `lines/save` */
export function withoutIterations(path: string): string {
  return path.replaceAll(/[[@#]\d+\]?/g, "");
}
