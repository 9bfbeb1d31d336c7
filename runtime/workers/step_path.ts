/**
 * The path of a step that was called in a branch (`""` if in none). The encoding ensures that two steps never share a path.
 */
export function stepPath(scope: string, name: string): string {
  // A step named `lines[3]` must not be taken for an item of the each `lines`.
  const own = escape(name).replace(/\[(?=\d+\]$)/, "%5B");
  return scope === "" ? own : `${scope}/${own}`;
}

/** The path of a branch of a step: `both/crm`, or `lines[3]` for an item. */
export function branchPath(step: string, branch: string | number): string {
  return typeof branch === "number" ? `${step}[${branch}]` : `${step}/${escape(branch)}`;
}

/** Whether a path is below another one: a step in a branch, or in a branch of a step. */
export function isBelow(path: string, above: string): boolean {
  return path.startsWith(above) && (path[above.length] === "/" || path[above.length] === "[");
}

function escape(name: string): string {
  return name.replaceAll("%", "%25").replaceAll("/", "%2F");
}
