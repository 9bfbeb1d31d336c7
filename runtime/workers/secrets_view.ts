/**
 * The secrets as rule code sees them. The name is reported before the value is handed out, so that the value is masked
 * wherever it appears. The values are kept outside the proxy's target, because `console.log(secrets)` shows the target.
 * @throws when an unset secret is read, so that `Bearer undefined` is never sent
 */
export function secretsView(values: Record<string, string>, tell: (name: string) => void): Record<string, string> {
  const told = new Set<string>();
  const read = (name: string) => {
    if (!told.has(name)) tell(name);
    told.add(name);
    return values[name];
  };
  const isSet = (name: string | symbol): name is string => typeof name === "string" && Object.hasOwn(values, name);
  return new Proxy({}, {
    get(_target, name) {
      if (isSet(name)) return read(name);
      // `await` and JSON.stringify look these up on any object.
      if (typeof name === "symbol" || name === "then" || name === "toJSON") return undefined;
      throw new Error(`the secret ${JSON.stringify(name)} is not set`);
    },
    has: (_target, name) => isSet(name),
    ownKeys: () => Object.keys(values),
    getOwnPropertyDescriptor: (_target, name) =>
      isSet(name) ? { value: read(name), enumerable: true, configurable: true } : undefined,
    set: () => false,
    defineProperty: () => false,
    deleteProperty: () => false,
  });
}
