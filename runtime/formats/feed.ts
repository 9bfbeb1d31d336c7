import { createHash } from "node:crypto";
import { XMLParser } from "fast-xml-parser";
import type { Json, JsonObject } from "../model/json.ts";

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  parseTagValue: false,
  parseAttributeValue: false,
  htmlEntities: true,
  // Also counts HTML and numeric entities; no feed has as many characters.
  processEntities: { enabled: true, maxEntityCount: 1, maxExpandedLength: 10_000_000 },
});

type Element = { [name: string]: Element | Element[] | string };
type Node = Element | string | undefined;

/**
 * Parses RSS 2.0, Atom and RSS 1.0 (RDF) into one shape. Every item has all of `id`, `title`, `link`, `published`, `updated`,
 * `author`, `summary`, `content`, `categories`, `enclosures`; missing values are null. `id` is the feed's own, else the link, else
 * a hash of title and date, so it is stable. Dates are RFC 3339 in UTC.
 * @throws Error if it is no such feed, is cut off, or declares entities (which could expand without bound)
 */
export function parseFeed(text: string): Json {
  const root = /<(rss|feed|rdf:RDF)[\s>]/.exec(text);
  if (!root) throw new Error("it has no <rss>, <feed> or <rdf:RDF> element");
  if (/<!ENTITY/i.test(text.slice(0, root.index))) throw new Error("it declares entities, which are refused");
  // The parser closes open elements at the end of the text, so a truncated download would look like a shorter feed.
  const end = new RegExp(`</${root[1]}\\s*>\\s*(<!--[^]*?-->\\s*)*$`);
  if (!end.test(text)) throw new Error(`it ends before </${root[1]}>`);
  const document = parser.parse(text)[root[1]] as Element;
  return root[1] === "feed" ? atom(document) : rss(document);
}

function rss(document: Element): Json {
  const channel = first(document.channel) as Element | undefined ?? {};
  // RSS 1.0 has its items next to the channel, not in it.
  const items = [...list(channel.item), ...list(document.item)];
  return {
    title: textOf(channel.title),
    link: textOf(channel.link),
    description: textOf(channel.description),
    updated: dateOf(channel.lastBuildDate ?? channel.pubDate ?? channel["dc:date"]),
    items: items.map(rssItem),
  };
}

function rssItem(node: Node): JsonObject {
  const item = elementOf(node);
  const title = textOf(item.title);
  const guid = textOf(item.guid) ?? textOf(item["@rdf:about"]);
  const isPermaLink = typeof first(item.guid) === "string" && /^https?:/.test(guid ?? "");
  const link = textOf(item.link) ?? (isPermaLink ? guid : null);
  const published = dateOf(item.pubDate ?? item["dc:date"]);
  return {
    id: guid ?? link ?? hashOf(title, published ?? textOf(item.description)),
    title,
    link,
    published,
    updated: dateOf(item["atom:updated"] ?? item["dcterms:modified"]),
    author: textOf(item["dc:creator"]) ?? textOf(item.author),
    summary: textOf(item.description),
    content: textOf(item["content:encoded"]),
    categories: [...list(item.category), ...list(item["dc:subject"])].map(textOf).filter((name) => name !== null),
    enclosures: list(item.enclosure).map((enclosure) => enclosureOf(enclosure, "@url")),
  };
}

function atom(document: Element): Json {
  return {
    title: textOf(document.title),
    link: atomLink(document, "alternate"),
    description: textOf(document.subtitle),
    updated: dateOf(document.updated),
    items: list(document.entry).map(atomItem),
  };
}

function atomItem(node: Node): JsonObject {
  const entry = elementOf(node);
  const title = textOf(entry.title);
  const link = atomLink(entry, "alternate");
  const updated = dateOf(entry.updated);
  const published = dateOf(entry.published) ?? updated;
  return {
    id: textOf(entry.id) ?? link ?? hashOf(title, published),
    title,
    link,
    published,
    updated,
    author: textOf(elementOf(first(entry.author)).name),
    summary: textOf(entry.summary),
    content: textOf(entry.content),
    categories: list(entry.category).map((category) => textOf(elementOf(category)["@term"])).filter((name) =>
      name !== null
    ),
    enclosures: list(entry.link).filter((link) => elementOf(link)["@rel"] === "enclosure")
      .map((link) => enclosureOf(link, "@href")),
  };
}

function atomLink(parent: Element, relation: string): string | null {
  const links = list(parent.link).map(elementOf);
  const found = links.find((link) => (link["@rel"] ?? "alternate") === relation);
  return textOf(found?.["@href"]);
}

function enclosureOf(node: Node, address: string): JsonObject {
  const element = elementOf(node);
  return { url: textOf(element[address]), type: textOf(element["@type"]), length: textOf(element["@length"]) };
}

function list(value: Element | Element[] | string | undefined): Node[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

function first(value: Element | Element[] | string | undefined): Node {
  return list(value)[0];
}

function elementOf(node: Node): Element {
  return typeof node === "object" ? node : {};
}

/** The text of an element, with or without attributes; null if it is absent or empty. */
function textOf(value: Element | Element[] | string | undefined): string | null {
  const node = first(value);
  const text = typeof node === "object" ? node["#text"] : node;
  return typeof text === "string" && text !== "" ? text : null;
}

function dateOf(value: Element | Element[] | string | undefined): string | null {
  const time = Date.parse(textOf(value) ?? "");
  return Number.isNaN(time) ? null : new Date(time).toISOString();
}

function hashOf(...parts: (string | null)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}
