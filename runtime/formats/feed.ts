import { createHash } from "node:crypto";
import { decodeHTML } from "entities";
import { type Atom, parseAtomFeed, parseRdfFeed, parseRssFeed, type Rdf, type Rss } from "feedsmith";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import { readFeedDate } from "./feed_dates.ts";
import { parseJson } from "./exact_json.ts";
import { findRoot, tagsIn, textAfter, withoutMarkup } from "./xml.ts";

/** Options for one text, besides its format. */
export interface ParseOptions {
  /** The address that the text came from. */
  base?: string;
  /** Gets a sentence about each part that was ignored. */
  warn?: (message: string) => void;
}

const FEED_ELEMENT = /<((?:[\w.-]+:)?(?:rss|feed|rdf))(?=[\s>])/iy;

/**
 * Parses RSS, RSS 1.0 (RDF), Atom and JSON Feed into one shape. The feed has `title`, `link`, `description`, `author`, `updated`,
 * `updatedText` and `items`. Every item has all of `id`, `title`, `link`, `published`, `publishedText`, `updated`, `updatedText`,
 * `author`, `summary`, `content`, `categories`, `enclosures`, `ext`; missing values are null. `id` is the feed's own, else the link,
 * else a hash of title and date, so it is stable. Dates are RFC 3339 in UTC; of a date that `readFeedDate` cannot read the text is
 * beside it, as in `publishedText`. Links are absolute if the feed says or `base` says relative to what. `ext` has, as they came, the elements of
 * known namespaces, such as `itunes` and `media`, as the library feedsmith names them; of a JSON Feed its extensions.
 * @throws Error if it is no such feed, is cut off, or declares entities (which could expand without bound)
 */
export function parseFeed(text: string, { base, warn }: ParseOptions = {}): JsonObject {
  const feed = /^\s*\{/.test(text) ? jsonFeed(text, base) : xmlFeed(text, base, warn);
  return { ...feed, items: distinct(feed.items, warn) };
}

type Feed = JsonObject & { items: JsonObject[] };

function xmlFeed(text: string, address: string | undefined, warn: ParseOptions["warn"]): Feed {
  const root = findRoot(text, FEED_ELEMENT);
  if (root === undefined) throw new Error("it has no <rss>, <feed> or <rdf:RDF> element");
  const rest = textAfter(text, root);
  if (rest !== "") warn?.(`what follows </${root.name}> is ignored: ${JSON.stringify(rest.slice(0, 60))}`);
  const document = withPlainTitles(text.slice(root.start, root.end));
  try {
    switch (root.name.replace(/^.*:/, "").toLowerCase()) {
      case "rss":
        return rss(parseRssFeed(document), address);
      case "feed":
        return atom(parseAtomFeed(document), address);
      default:
        return rdf(parseRdfFeed(withRdfNamespace(document)), address);
    }
  } catch (error) {
    const { name, cause, message } = error as Error;
    // The library's own message only says that the feed is not valid.
    if (name === "MalformedError" && cause instanceof Error) throw new Error(cause.message);
    if (name === "ParseError" || name === "DetectError") {
      // The library takes a channel without a title and items for no feed.
      if (!/feed$/i.test(root.name) && /<(?:[\w.-]+:)?channel[\s/>]/.test(document)) return rss({}, address);
      throw new Error("it has neither a title nor items");
    }
    throw new Error(message, { cause: error });
  }
}

function rss(feed: Rss.Feed<string>, address: string | undefined): Feed {
  const { title, link: own, description, lastBuildDate, pubDate, managingEditor, itunes, dc, items = [], xml, atom } =
    feed;
  const link = own ?? linkOf(atom?.links);
  const base = baseOf(xml?.base, link, address);
  return {
    title: looseTitle(title),
    link: resolve(link, base),
    description: description ?? null,
    author: personOf(managingEditor) ?? itunes?.author ?? named(dc?.creators) ?? null,
    ...dateOf("updated", lastBuildDate ?? pubDate ?? dc?.dates?.[0]),
    items: items.map((item) => rssItem(item, base)),
  };
}

function rssItem(item: Rss.Item<string>, feedBase: string | undefined): JsonObject {
  const {
    title,
    link: own,
    description,
    guid,
    pubDate,
    authors,
    categories = [],
    enclosures = [],
    comments: _comments,
    source: _source,
    ...ext
  } = item;
  const base = resolve(item.xml?.base, feedBase) ?? feedBase;
  const isPermaLink = guid?.isPermaLink !== false && /^https?:/.test(guid?.value ?? "");
  const link = resolve(own ?? linkOf(item.atom?.links) ?? (isPermaLink ? guid!.value : undefined), base);
  return itemOf({
    id: guid?.value,
    title: looseTitle(title),
    link,
    published: pubDate ?? item.dc?.dates?.[0],
    updated: item.atom?.updated ?? item.dcterms?.modified?.[0],
    author: named(item.dc?.creators) ?? named(authors?.map(personOf)) ?? item.itunes?.author,
    summary: description,
    content: item.content?.encoded,
    categories: [...categories.map(({ name }) => name), ...item.dc?.subjects ?? []],
    enclosures: enclosures.map(({ url, type, length }) => enclosureOf(resolve(url, base), type, length)),
    ext,
  });
}

/** Feeds write this namespace in several ways, and the library knows one. */
function withRdfNamespace(document: string): string {
  const namespace = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"';
  return document.replace(/\sxmlns:rdf\s*=\s*(?:"[^"]*"|'[^']*')/, "").replace(/^<[^\s>]+/, `$& ${namespace}`);
}

function rdf(feed: Rdf.Feed<string>, address: string | undefined): Feed {
  const { title, link, description, dc, items = [], xml } = feed;
  const base = baseOf(xml?.base, link, address);
  return {
    title: looseTitle(title),
    link: resolve(link, base),
    description: description ?? null,
    author: named(dc?.creators) ?? null,
    ...dateOf("updated", dc?.dates?.[0]),
    items: items.map(({ title, link, description, ...ext }) => {
      return itemOf({
        id: ext.rdf?.about,
        title: looseTitle(title),
        link: resolve(link, resolve(ext.xml?.base, base) ?? base),
        published: ext.dc?.dates?.[0],
        updated: ext.dcterms?.modified?.[0],
        author: named(ext.dc?.creators),
        summary: description,
        content: ext.content?.encoded,
        categories: ext.dc?.subjects,
        ext,
      });
    }),
  };
}

function atom(feed: Atom.Feed<string>, address: string | undefined): Feed {
  const { title, links, subtitle, updated, authors, entries = [], xml } = feed;
  const base = baseOf(xml?.base, linkOf(links), address);
  const author = atomAuthor(authors);
  return {
    title: plainText(title),
    link: resolve(linkOf(links), base),
    description: subtitle?.value ?? null,
    author: author ?? null,
    ...dateOf("updated", updated),
    items: entries.map((entry) => atomItem(entry, base, author)),
  };
}

function atomItem(entry: Atom.Entry<string>, feedBase: string | undefined, feedAuthor?: string): JsonObject {
  const {
    authors,
    categories = [],
    content,
    id,
    links = [],
    published,
    source,
    summary,
    title,
    updated,
    contributors: _contributors,
    rights: _rights,
    ...ext
  } = entry;
  const base = resolve(entry.xml?.base, feedBase) ?? feedBase;
  return itemOf({
    id,
    title: plainText(title),
    link: resolve(linkOf(links), base),
    published: published ?? updated,
    updated,
    // RFC 4287, section 4.2.1: an entry without an author has that of its source, else of its feed.
    author: atomAuthor(authors) ?? named(entry.dc?.creators) ?? atomAuthor(source?.authors) ?? feedAuthor,
    summary: summary?.value,
    content: content?.value,
    categories: categories.map(({ term }) => term),
    enclosures: links.filter(({ rel }) => rel === "enclosure")
      .map(({ href, type, length }) => enclosureOf(resolve(href, base), type, length)),
    ext,
  });
}

/** JSON Feed 1.0 and 1.1 (https://www.jsonfeed.org/version/1.1/). */
function jsonFeed(text: string, address: string | undefined): Feed {
  const feed = parseJson(text) as JsonObject;
  if (!Array.isArray(feed.items)) throw new Error('it is JSON without a list "items", so it is no JSON Feed');
  const link = textOf(feed.home_page_url);
  const base = baseOf(undefined, link, textOf(feed.feed_url) ?? address);
  const author = jsonAuthor(feed);
  return {
    title: textOf(feed.title) ?? null,
    link: resolve(link, base),
    description: textOf(feed.description) ?? null,
    author: author ?? null,
    updated: null,
    updatedText: null,
    items: objectsIn(feed.items).map((item) =>
      itemOf({
        id: textOf(item.id),
        title: textOf(item.title),
        link: resolve(textOf(item.url) ?? textOf(item.external_url), base),
        published: textOf(item.date_published) ?? textOf(item.date_modified),
        updated: textOf(item.date_modified),
        author: jsonAuthor(item) ?? author,
        summary: textOf(item.summary),
        content: textOf(item.content_html) ?? textOf(item.content_text),
        categories: listOf(item.tags).map(textOf),
        enclosures: objectsIn(item.attachments).map(({ url, mime_type, size_in_bytes }) =>
          enclosureOf(resolve(textOf(url), base), textOf(mime_type), textOf(size_in_bytes))
        ),
        ext: Object.fromEntries(Object.entries(item).filter(([name]) => name.startsWith("_"))),
      })
    ),
  };
}

function jsonAuthor({ authors, author }: JsonObject): string | undefined {
  const all = Array.isArray(authors) ? authors : [author];
  return named(all.map((one) => isObject(one) ? textOf(one.name) : textOf(one)));
}

interface Found {
  id?: string;
  title?: string | null;
  link: string | null;
  published?: string;
  updated?: string;
  author?: string | null;
  summary?: string;
  content?: string;
  categories?: (string | undefined)[];
  enclosures?: JsonObject[];
  ext: object;
}

function itemOf(
  { id, title = null, link, published, updated, author, categories, enclosures, ...found }: Found,
): JsonObject {
  const { summary = null, content = null, ext } = found;
  const dates = { ...dateOf("published", published), ...dateOf("updated", updated) };
  return {
    id: id ?? link ?? hashOf(title, dates.published ?? published ?? summary),
    title,
    link,
    ...dates,
    author: author ?? null,
    summary,
    content,
    categories: (categories ?? []).filter((name) => name !== undefined),
    enclosures: enclosures ?? [],
    ext: ext as JsonObject,
  };
}

function dateOf<Name extends string>(
  name: Name,
  text: string | undefined,
): Record<Name | `${Name}Text`, string | null> {
  const date = text === undefined ? null : readFeedDate(text);
  return { [name]: date, [`${name}Text`]: date === null ? text ?? null : null } as ReturnType<typeof dateOf<Name>>;
}

function enclosureOf(url: string | null, type?: string, length?: string | number): JsonObject {
  return { url, type: type ?? null, length: length === undefined ? null : String(length) };
}

function linkOf(links: { href?: string; rel?: string }[] | undefined): string | undefined {
  return links?.find(({ rel = "alternate" }) => rel === "alternate")?.href;
}

/** Several names in one text, each once; undefined if there is none. */
function named(names: (string | undefined)[] = []): string | undefined {
  const known = names.filter((name) => name !== undefined);
  return known.length === 0 ? undefined : [...new Set(known)].join(", ");
}

function atomAuthor(authors: Atom.Person[] | undefined): string | undefined {
  return named(authors?.map(({ name }) => name));
}

/** A person as in RSS 2.0: `ann@example.org (Ann)`. */
function personOf(person: Rss.Person | undefined): string | undefined {
  if (person === undefined) return undefined;
  const { name, email, link } = person;
  return name !== undefined && email !== undefined ? `${email} (${name})` : name ?? email ?? link;
}

/** The base of relative links: `xml:base`, else the site of the feed, else the address that it came from. */
function baseOf(base: string | undefined, link: string | undefined, address: string | undefined): string | undefined {
  const site = resolve(link, address) ?? undefined;
  const outer = site !== undefined && URL.canParse(site) ? site : address;
  return base === undefined ? outer : resolve(base, address ?? outer) ?? outer;
}

/** The absolute form of a link; as it is written, if there is nothing that it is relative to. */
function resolve(link: string | undefined, base: string | undefined): string | null {
  if (link === undefined) return null;
  if (/^[a-z][a-z\d+.-]*:/i.test(link) || base === undefined) return link;
  return URL.parse(link, base)?.href ?? link;
}

/** The text of an Atom title, which may be HTML or XHTML (RFC 4287, section 3.1). */
function plainText(title: Atom.Text | undefined): string | null {
  if (title?.value === undefined) return null;
  const isMarkup = title.type === "html" || title.type === "xhtml";
  return isMarkup ? textOfHtml(title.value) : title.value;
}

/** An end tag, or an entity. */
const SIGN_OF_HTML = /<\/[a-z][a-z\d]*\s*>|&(?:#\d+|#x[\da-f]+|[a-z][a-z\d]*);/i;

/** The text of a title of RSS, which may be HTML and does not say so. It is HTML by the signs that FreshRSS (SimplePie) takes, too. */
function looseTitle(title: string | undefined): string | null {
  if (title === undefined) return null;
  return SIGN_OF_HTML.test(title) ? textOfHtml(title) : title;
}

function textOfHtml(html: string): string | null {
  return decodeHTML(withoutMarkup(html)).trim() || null;
}

const TITLE = /<((?:[\w.-]+:)?title)(?=[\s>])([^<>]*)>/iy;

/** Leaves only the text of titles with elements in them, such as `<title>A <b>bold</b> word</title>`: the library keeps the tags. */
function withPlainTitles(document: string): string {
  const cuts: [start: number, end: number][] = [];
  let title: { closing: string; tags: typeof cuts } | undefined;
  let tagEnd = 0;
  for (const at of tagsIn(document)) {
    if (at < tagEnd) continue;
    if (title === undefined) {
      TITLE.lastIndex = at;
      const found = TITLE.exec(document);
      const isText = found !== null && !/xhtml|\/$/i.test(found[2]);
      if (isText) title = { closing: `</${found[1]}`.toLowerCase(), tags: [] };
    } else if (document.slice(at, at + title.closing.length).toLowerCase() === title.closing) {
      for (const tag of title.tags) cuts.push(tag);
      title = undefined;
    } else {
      tagEnd = document.indexOf(">", at) + 1;
      title.tags.push([at, tagEnd]);
    }
  }
  const kept = [0, ...cuts.flat(), document.length];
  return kept.reduce(
    (text, start, index) => index % 2 === 0 ? text + document.slice(start, kept[index + 1]) : text,
    "",
  );
}

/**
 * Items with one id and one link are one item, as it is first: feeds begin with what is newest. Of items with one id and different
 * links the last one keeps the id, so that it stays the same when a newer item comes; the others have their links in their ids.
 */
function distinct(items: JsonObject[], warn: ParseOptions["warn"]): JsonObject[] {
  const kept = [...Map.groupBy(items, ({ id, link }) => JSON.stringify([id, link])).values()].map(([newest]) => newest);
  const shared = [...Map.groupBy(kept, ({ id }) => id)].filter(([, same]) => same.length > 1);
  if (shared.length === 0) return kept;
  const [[id, same]] = shared;
  const more = shared.length === 1 ? "" : `; ${shared.length - 1} more ids are shared`;
  warn?.(`${same.length} items have the id ${JSON.stringify(id)}, so their links tell them apart${more}`);
  const oldest = new Map(kept.map((item) => [item.id, item]));
  return kept.map((item) => oldest.get(item.id) === item ? item : { ...item, id: `${item.id} ${item.link}` });
}

function textOf(value: Json | undefined): string | undefined {
  const isText = ["string", "number", "bigint"].includes(typeof value);
  return isText && String(value).trim() !== "" ? String(value).trim() : undefined;
}

function objectsIn(value: Json | undefined): JsonObject[] {
  return listOf(value).filter((item) => isObject(item));
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

function hashOf(...parts: Json[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}
