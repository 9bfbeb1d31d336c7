/** The part of the Standard Schema interface that whenthen uses (https://standardschema.dev, version 1). */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** The result of a validator: a value, or its problems. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A type without a validator: names the type of an event's data and checks nothing. */
export interface TypeOnly<T> {
  readonly typeOnly: true;
  /** Never set; carries the type. */
  readonly value?: T;
}

/**
 * Names the type of an event's data if no validator is wanted.
 * @example event("order.created", type<Order>())
 */
export function type<T>(): TypeOnly<T> {
  return { typeOnly: true };
}

/**
 * Runs a validator over `value`.
 * @returns the validated value, or one line for each problem: `data.amount: expected number`
 */
export async function validate(
  schema: StandardSchema,
  value: unknown,
): Promise<{ value: unknown } | { problems: string[] }> {
  const result = await schema["~standard"].validate(value);
  if (!result.issues) return { value: result.value };
  return { problems: result.issues.map((issue) => `${pathOf(issue)}: ${issue.message}`) };
}

function pathOf(issue: SchemaIssue): string {
  const keys = (issue.path ?? []).map((part) => typeof part === "object" ? part.key : part);
  return ["data", ...keys.map(String)].join(".");
}
