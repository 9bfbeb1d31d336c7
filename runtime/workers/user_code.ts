import { Buffer } from "node:buffer";
import type { SourceMap, SourceMapPayload } from "node:module";
import process from "node:process";
import type { CodePlace } from "./workers.ts";

/** What precedes the source map of a bundle, in base64. */
export const MAP_COMMENT = "\n//# sourceMappingURL=data:application/json;base64,";
const POSITION = /data:text\/javascript[^\s)]*?:(\d+):(\d+)/g;
const FRAME = /^\s+at (?:(.*?) \()?data:text\/javascript[^\s)]*?:(\d+):(\d+)\)?$/;

/**
 * A bundle as a worker evaluates it, with the origin of its lines. Hosts name code from a `data:` URL by the URL itself and
 * ignore both its source map and its `sourceURL`, so stacks are translated here.
 */
export class UserCode {
  /** The URL to `import()`. */
  readonly url: string;
  #code: string;
  #encodedMap: string | undefined;
  #map: SourceMap | undefined;

  constructor(code: string) {
    const comment = code.lastIndexOf(MAP_COMMENT);
    this.#code = comment === -1 ? code : code.slice(0, comment);
    this.#encodedMap = comment === -1 ? undefined : code.slice(comment + MAP_COMMENT.length).trim();
    this.url = `data:text/javascript;charset=utf-8;base64,${Buffer.from(this.#code).toString("base64")}`;
  }

  /** The place in the user's source of a position in the bundle; all numbers count from 1. */
  placeOf(line: number, column: number): CodePlace | undefined {
    if (this.#encodedMap === undefined) return undefined;
    // Loaded only here, because few processes of rule code need it.
    this.#map ??= new (process.getBuiltinModule("node:module").SourceMap)(this.#readMap());
    const entry = this.#map.findEntry(line - 1, column - 1);
    if (!("originalSource" in entry)) return undefined;
    return { file: entry.originalSource, line: entry.originalLine + 1, column: entry.originalColumn + 1 };
  }

  /** The text of one of the files that the bundle was made of; bundles keep only that of the rule itself. */
  textOf(file: string): string | undefined {
    if (this.#encodedMap === undefined) return undefined;
    const { sources, sourcesContent } = this.#readMap();
    return sourcesContent?.[sources.indexOf(file)] ?? undefined;
  }

  #readMap(): SourceMapPayload {
    return JSON.parse(Buffer.from(this.#encodedMap!, "base64").toString());
  }

  /** The places in the user's source of each occurrence of a text in the bundle. */
  placesOfText(text: string): CodePlace[] {
    return this.#code.split("\n").flatMap((line, index) =>
      [...line.matchAll(new RegExp(RegExp.escape(text), "g"))].map((match) => this.placeOf(index + 1, match.index + 1))
    ).filter((place) => place !== undefined);
  }

  /** The stack's frames in the user's code, innermost first; frames of the host and of whenthen are left out. */
  frames(stack: string): { text: string; place: CodePlace; line: number }[] {
    return stack.split("\n").flatMap((line) => {
      const match = FRAME.exec(line);
      const place = match && this.placeOf(Number(match[2]), Number(match[3]));
      if (!match || !place) return [];
      const position = `${place.file}:${place.line}:${place.column}`;
      return [{
        place,
        line: Number(match[2]),
        text: match[1] ? `    at ${match[1]} (${position})` : `    at ${position}`,
      }];
    });
  }

  /** A line of the bundle; the first is 1. */
  lineOf(line: number): string {
    return this.#code.split("\n", line)[line - 1] ?? "";
  }

  /** The positions that a text mentions. */
  placesIn(text: string): CodePlace[] {
    return [...text.matchAll(POSITION)].map(([, line, column]) => this.placeOf(Number(line), Number(column)))
      .filter((place) => place !== undefined);
  }

  /** Text for people, with the positions in it translated. */
  translate(text: string): string {
    return text.replace(POSITION, (position, line, column) => {
      const place = this.placeOf(Number(line), Number(column));
      return place ? `${place.file}:${place.line}:${place.column}` : position;
    });
  }
}
