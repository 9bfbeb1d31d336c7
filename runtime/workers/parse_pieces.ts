import { readExactJson, writeRecordJson } from "../formats/exact_json.ts";
import { Slices } from "../host/large_work.ts";
import type { Json } from "../model/json.ts";

/** Data in pieces, as the parsing thread sends it: reading it in one go would take as long as parsing did. */
export interface Apart {
  /** The data as JSON, with its longest list empty. */
  rest: string;
  /** The path of that list: `["data", "items"]`. */
  path: string[];
  /** The elements of that list as JSON, separated by commas. */
  pieces: string[];
}

/** Characters of a piece: reading one takes about a millisecond. */
const PIECE = 100_000;
/** How many levels of objects are searched for the list. */
const DEEPEST = 4;

/** Splits data at its longest list; data without a list stays whole. */
export function takeApart(value: Json): Apart {
  const { path, list } = longestList(value, DEEPEST);
  const pieces: string[] = [];
  let piece: string[] = [];
  let length = 0;
  for (const element of list) {
    const text = writeRecordJson(element);
    piece.push(text);
    length += text.length;
    if (length < PIECE) continue;
    pieces.push(piece.join(","));
    piece = [];
    length = 0;
  }
  if (piece.length > 0) pieces.push(piece.join(","));
  list.length = 0;
  return { rest: writeRecordJson(value), path, pieces };
}

/** Puts the data together again, and lets other work run in between. */
export async function putTogether({ rest, path, pieces }: Apart): Promise<Json> {
  const value = readExactJson(rest) as Json;
  const list = path.reduce((at, name) => (at as { [name: string]: Json })[name], value) as Json[];
  const slices = new Slices();
  for (const piece of pieces) {
    for (const element of readExactJson(`[${piece}]`) as Json[]) list.push(element);
    if (slices.isOver) await slices.next();
  }
  return value;
}

/** If there is no list, an empty one that is not part of the value. */
function longestList(value: Json, levels: number): { path: string[]; list: Json[] } {
  if (Array.isArray(value)) return { path: [], list: value };
  const none = { path: [], list: [] };
  if (typeof value !== "object" || value === null || levels === 0) return none;
  return Object.entries(value).filter(([name]) => name !== "__proto__")
    .map(([name, inner]) => {
      const { path, list } = longestList(inner, levels - 1);
      return { path: [name, ...path], list };
    })
    .reduce((longest, next) => next.list.length > longest.list.length ? next : longest, none);
}
