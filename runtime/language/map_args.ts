import type { z } from "zod";
import { isObject } from "../model/json.ts";
import { type FieldInfo, fieldInfo } from "./arg_types.ts";

/** Gives a leaf's replacement. `info` is undefined if no field maker made its schema, as with `z.enum(…)`. */
export type Visit<Value> = (info: FieldInfo | undefined, value: Value, path: (string | number)[]) => Value;

/**
 * Walks a value along its schema and replaces every leaf by the result of `visit`.
 * @param path that of the value, for `visit`
 */
export function mapFields<Value>(
  schema: z.core.$ZodType,
  value: Value,
  visit: Visit<Value>,
  path: (string | number)[] = [],
): Value {
  // Parts of JSON are JSON, and parts of an unknown value are unknown.
  return walk(schema, value, visit as Visit<unknown>, path) as Value;
}

function walk(schema: z.core.$ZodType, value: unknown, visit: Visit<unknown>, path: (string | number)[]): unknown {
  if (value === undefined) return undefined;
  const info = fieldInfo.get(schema);
  if (info !== undefined) return visit(info, value, path);
  const { def } = (schema as z.core.$ZodTypes)._zod;
  const below = (inner: z.core.$ZodType, part: unknown, key: string | number) =>
    walk(inner, part, visit, [...path, key]);
  const inside = insideOf(def);
  if (inside !== undefined) return walk(inside, value, visit, path);
  switch (def.type) {
    case "union": {
      const option = def.options.find((candidate) => fits(candidate, value));
      return option === undefined ? visit(undefined, value, path) : walk(option, value, visit, path);
    }
    case "array":
      return Array.isArray(value)
        ? value.map((item, index) => below(def.element, item, index))
        : visit(undefined, value, path);
    case "record":
      return isObject(value)
        ? mapEntries(value, (key, part) => below(def.valueType, part, key))
        : visit(undefined, value, path);
    case "object":
      if (!isObject(value)) return visit(undefined, value, path);
      return mapEntries(value, (key, part) => {
        const inner = Object.hasOwn(def.shape, key) ? def.shape[key] : def.catchall;
        return inner === undefined ? part : below(inner, part, key);
      });
    default:
      return visit(undefined, value, path);
  }
}

/** The schema that one wraps, such as an optional one; undefined if it wraps none. */
function insideOf(def: z.core.$ZodTypes["_zod"]["def"]): z.core.$ZodType | undefined {
  switch (def.type) {
    case "optional":
    case "nullable":
    case "default":
    case "prefault":
    case "nonoptional":
    case "readonly":
    case "catch":
      return def.innerType;
    case "pipe":
      return def.in;
    case "lazy":
      return def.getter();
  }
}

/** Whether a value, raw or parsed, has the shape of a schema; finds the matching option of a union. */
function fits(schema: z.core.$ZodType, value: unknown): boolean {
  const info = fieldInfo.get(schema);
  if (info !== undefined) return fitsField(info, value);
  const { def } = (schema as z.core.$ZodTypes)._zod;
  const inside = insideOf(def);
  if (inside !== undefined) return fits(inside, value);
  switch (def.type) {
    case "union":
      return def.options.some((option) => fits(option, value));
    case "array":
      return Array.isArray(value) && value.every((item) => fits(def.element, item));
    case "record":
      return isObject(value);
    case "object":
      return isObject(value) && Object.keys(value).every((key) => Object.hasOwn(def.shape, key));
    default:
      return (schema as z.ZodType).safeParse(value).success;
  }
}

function fitsField(info: FieldInfo, value: unknown): boolean {
  const isText = typeof value === "string";
  switch (info.is) {
    case "json":
      return true;
    case "template":
    case "expression":
      return isText || ["number", "bigint", "boolean"].includes(typeof value);
    case "number":
    case "duration":
    case "size":
      return isText || typeof value === "number";
    case "boolean":
      return isText || typeof value === "boolean";
    case "rate":
      return isText || (isObject(value) && "per" in value);
    case "command":
    case "secret":
      return isText || (Array.isArray(value) && value.every((item) => typeof item !== "object"));
    case "source":
      return isObject(value);
    default:
      return isText;
  }
}

function mapEntries(
  value: Record<string, unknown>,
  map: (key: string, part: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, map(key, part)]));
}
