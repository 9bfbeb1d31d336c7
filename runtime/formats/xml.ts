import { XMLParser, XMLValidator } from "fast-xml-parser";
import { isObject, type Json } from "../model/json.ts";

/** Options of the format `xml`. */
export interface XmlOptions {
  /** Names of elements that are always a list, even if there is only one. */
  lists?: string[];
}

/** Where the root element of an XML text is, from its `<` up to the end of its closing tag. */
export interface Root {
  name: string;
  start: number;
  end: number;
}

/** Sections in which anything may look like markup. */
const OPAQUE = [["<!--", "-->"], ["<![CDATA[", "]]>"], ["<?", "?>"]] as const;
const ANY_ELEMENT = /<([\p{L}_][\p{L}\p{N}_.:-]*)/uy;

/**
 * Parses an XML document: `{ <root>: … }`. An element with attributes or children is an object: attributes as `@name`, children by
 * name, several of one name as a list, its own text as `#text`. Any other element is its text. All values are text; blanks
 * around a text are dropped. Prefixes stay in the names.
 * @throws Error if it is not well-formed, is cut off, or declares entities (which could expand without bound)
 */
export function parseXml(text: string, { lists = [] }: XmlOptions = {}): Json {
  const root = findRoot(text, ANY_ELEMENT);
  if (root === undefined) throw new Error("it has no element");
  const valid = XMLValidator.validate(text);
  if (valid !== true) {
    const { msg, line, col } = valid.err;
    throw new Error(`line ${line}, column ${col}: ${msg.replace(/\.$/, "")}`);
  }
  const rest = textAfter(text, root);
  if (rest !== "") throw new Error(`there is text after </${root.name}>: ${JSON.stringify(rest.slice(0, 60))}`);
  const always = new Set(lists);
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: "@",
    parseTagValue: false,
    parseAttributeValue: false,
    ignoreDeclaration: true,
    ignorePiTags: true,
    // It would trim each piece of a text beside CDATA.
    trimValues: false,
    // Also counts numeric entities; no document has as many characters.
    processEntities: { enabled: true, maxEntityCount: 1, maxExpandedLength: 10_000_000 },
    htmlEntities: true,
    jPath: false,
    isArray: (name, _path, _isLeaf, isAttribute) => !isAttribute && always.has(name),
  });
  return trimmed(parser.parse(text) as Json);
}

/** Trims texts, and drops those that are only line breaks and indentation. */
function trimmed(value: Json): Json {
  if (typeof value === "string") return value.trim();
  if (Array.isArray(value)) return value.map(trimmed);
  if (!isObject(value)) return value;
  const parts = Object.entries(value).map(([name, part]): [string, Json] => {
    return [name, name.startsWith("@") ? part : trimmed(part)];
  });
  return Object.fromEntries(parts.filter(([name, part]) => name !== "#text" || part !== ""));
}

/**
 * Finds the root element.
 * @param opening matches at the `<` of its opening tag (sticky); its first group is the element's name
 * @returns undefined if there is none
 * @throws Error if entities are declared before it, or if it has no end: then the text is cut off
 */
export function findRoot(text: string, opening: RegExp): Root | undefined {
  let root: { name: string; start: number } | undefined;
  let depth = 0;
  let tagEnd = 0;
  for (const at of tagsIn(text)) {
    if (at < tagEnd) continue;
    if (root === undefined) {
      if (/^<!ENTITY/i.test(text.slice(at, at + 8))) throw new Error("it declares entities, which are refused");
      opening.lastIndex = at;
      const name = opening.exec(text)?.[1];
      if (name === undefined) continue;
      root = { name, start: at };
    }
    const isEnd = text.startsWith("/", at + 1);
    const after = at + (isEnd ? 2 : 1) + root.name.length;
    if (!text.startsWith(root.name, after - root.name.length) || !/[\s/>]/.test(text.charAt(after))) continue;
    tagEnd = isEnd ? text.indexOf(">", after) + 1 : tagEndAfter(text, after);
    if (tagEnd === 0) break;
    if (isEnd) depth--;
    else if (text.charAt(tagEnd - 2) !== "/") depth++;
    if (depth === 0) return { ...root, end: tagEnd };
  }
  if (root !== undefined) throw new Error(`it ends before </${root.name}>`);
  return undefined;
}

/** Where an opening tag ends, after its `>`; 0 if it does not. Values of attributes may have `>`. */
function tagEndAfter(text: string, from: number): number {
  const mark = /["'>]/g;
  mark.lastIndex = from;
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    if (found[0] === ">") return mark.lastIndex;
    const end = text.indexOf(found[0], mark.lastIndex);
    if (end === -1) return 0;
    mark.lastIndex = end + 1;
  }
  return 0;
}

/** The text after the root element, without comments and processing instructions. */
export function textAfter(text: string, { end }: Root): string {
  const passed = /\s*(?:<!--[^]*?-->|<\?[^]*?\?>)/y;
  passed.lastIndex = end;
  let from = end;
  while (passed.test(text)) from = passed.lastIndex;
  return text.slice(from).trim();
}

/** The position of each `<` that begins a tag or a declaration. */
export function* tagsIn(text: string): Generator<number> {
  for (let at = text.indexOf("<"); at !== -1;) {
    const next = text.charAt(at + 1);
    const section = next === "!" || next === "?" ? OPAQUE.find(([open]) => text.startsWith(open, at)) : undefined;
    if (section === undefined) yield at;
    const end = section === undefined ? at + 1 : text.indexOf(section[1], at + section[0].length);
    if (end === -1) return;
    at = text.indexOf("<", end);
  }
}

const MARKUP = /<(?:!--|\/?[a-z])/giy;

/** Removes the tags and comments of HTML. One that never ends is text. */
export function withoutMarkup(html: string): string {
  let text = "";
  let from = 0;
  for (let at = html.indexOf("<"); at !== -1;) {
    MARKUP.lastIndex = at;
    const opening = MARKUP.exec(html)?.[0];
    if (opening === undefined) {
      at = html.indexOf("<", at + 1);
      continue;
    }
    const closing = opening === "<!--" ? "-->" : ">";
    const end = html.indexOf(closing, at + opening.length);
    if (end === -1) break;
    text += html.slice(from, at);
    from = end + closing.length;
    at = html.indexOf("<", from);
  }
  return text + html.slice(from);
}
