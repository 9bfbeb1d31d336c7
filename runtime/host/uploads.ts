import { Buffer } from "node:buffer";
import { join } from "node:path";
import { codeOf, messageOf } from "../model/errors.ts";
import type { SavedFile } from "../model/event.ts";
import { fromBase32, newId } from "../model/id.ts";
import type { Disk } from "./disk.ts";
import type { RunFiles } from "./run_files.ts";

/** A file that came with an event. */
export interface Upload {
  /** As its sender names it. */
  name: string;
  type: string;
  bytes: Uint8Array;
}

/** The identity of an event. */
interface Owner {
  source: string;
  id: string;
}

/** Files that were saved before their event was accepted. */
export interface Unclaimed {
  /** In the order of the uploads. */
  files: SavedFile[];
  /** Notes the keys under which their events are stored. They stay as long as one of these; without any, they are removed. */
  claim(keys: string[]): Promise<void>;
  /** Leaves them to the sweep, which finds their events by the owners. */
  leave(): void;
  /** Removes them, as there is no such event. */
  discard(): Promise<void>;
}

/** The events that are known, for sweeping. */
export interface KnownEvents {
  /** The key of an event by its identity; undefined if it is not known. */
  findKey(owner: Owner): Promise<string | undefined>;
  isKnown(key: string): Promise<boolean>;
}

/** Uploads would take the space that the store needs. */
export class NoSpaceError extends Error {
  override name = "NoSpaceError";
}

/** Bytes of the disk that uploads leave free, but at most this share of it: the log and history of the store are there, too. */
const LEFT_FREE = { bytes: 500_000_000, share: 0.05 };

/** The folder of all uploads, beside those of runs. */
const FOLDER = ".uploads";
/** The file with the owners, in the folder of an event's files. Uploaded files have folders of their own, so no name clashes. */
const OWNERS = "owners.json";
/** See `newId`: only names of this form are folders of requests. */
const REQUEST = /^[0-9a-z]{20}$/;
const KEY = /^key-(\d+)$/;
/** Milliseconds that another program may take to receive a request. */
const RECENT = 3_600_000;
/** Folders checked per sweep. */
const SWEPT = 100;

/**
 * The files that came with events, such as those of a form that was sent to a webhook. Each request has a folder. They are on disk
 * before their event, and are removed with it.
 */
export class Uploads {
  readonly #folder: string;
  /** The folders of requests that are being received. */
  readonly #open = new Set<string>();
  #round: string[] = [];
  /** Folders that could not be checked, each reported once. */
  readonly #unchecked = new Set<string>();
  /** The most bytes of all uploads together, if they are kept where nobody knows how much space is free. */
  most = Infinity;

  /**
   * @param folder of all files, absolute
   * @param kept the bytes of all uploads, if they are kept where nobody knows how much space is free
   */
  constructor(
    folder: string,
    private readonly files: RunFiles,
    private readonly disk: Disk,
    private readonly kept?: () => Promise<number>,
  ) {
    this.#folder = join(folder, FOLDER);
  }

  /**
   * Saves files, durably.
   * @param owners the events that may get them: after a crash, they stay if one of these is known
   * @throws NoSpaceError if too little of the disk would stay free, or there would be too many
   */
  async save(uploads: Upload[], owners: Owner[], now: number): Promise<Unclaimed> {
    const id = newId(now);
    const folder = join(this.#folder, id);
    const leave = () => void this.#open.delete(id);
    // By then the event is stored or refused. If this fails, the sweep does it later: it knows the owners.
    const close = (last: Promise<void>) => last.catch(() => {}).finally(leave);
    const discard = () => close(this.disk.removeFolder(folder));
    this.#open.add(id);
    try {
      await this.disk.mkdir(folder);
      await this.#checkSpace(folder, uploads.reduce((sum, { bytes }) => sum + bytes.length, 0));
      const draft = join(folder, `${OWNERS}.new`);
      await this.#write(draft, JSON.stringify(owners));
      await this.disk.rename(draft, join(folder, OWNERS));
      await this.disk.syncFolder(folder);
      const files: SavedFile[] = [];
      for (const [index, upload] of uploads.entries()) files.push(await this.#saveOne(id, index, upload));
      const claim = (keys: string[]) => keys.length === 0 ? discard() : close(this.#note(folder, keys));
      return { files, claim, leave, discard };
    } catch (error) {
      await discard();
      if (error instanceof NoSpaceError) throw error;
      throw new Error(`Cannot save uploaded files: ${messageOf(error)}`, { cause: error });
    }
  }

  async #checkSpace(folder: string, bytes: number): Promise<void> {
    const kept = await this.kept?.();
    if (kept !== undefined && kept + bytes > this.most) {
      throw new NoSpaceError(
        `Cannot save uploaded files: the database has ${megabytes(kept)} of them, and at most ${
          megabytes(this.most)
        } are kept, as much as of history (retention.bytes)`,
      );
    }
    const space = await this.disk.space?.(folder);
    if (space === undefined) return;
    const least = Math.min(LEFT_FREE.bytes, LEFT_FREE.share * space.total);
    if (space.free - bytes >= least) return;
    throw new NoSpaceError(
      `Cannot save uploaded files: the disk has ${megabytes(space.free)} free, and ${
        megabytes(least)
      } of it are for the store`,
    );
  }

  async #saveOne(id: string, index: number, { name, type, bytes }: Upload): Promise<SavedFile> {
    const what = `the uploaded file ${JSON.stringify(name)}`;
    return await this.files.saveSent({ run: join(FOLDER, id), step: String(index), name, what }, bytes, type);
  }

  async #note(folder: string, keys: string[]): Promise<void> {
    for (const key of new Set(keys)) await this.#write(join(folder, `key-${key}`), "");
  }

  async #write(path: string, text: string): Promise<void> {
    const file = await this.disk.create(path);
    try {
      await file.write(Buffer.from(text));
      await file.sync();
    } finally {
      await file.close();
    }
    await this.disk.syncFolder(join(path, ".."));
  }

  /**
   * Removes the files of events that are no longer known. Checks some of the folders; the next call continues after them.
   * @throws Error after all of these, with the first that could not be checked, once for each
   */
  async sweep(events: KnownEvents): Promise<void> {
    if (this.#round.length === 0) this.#round = (await this.#list(this.#folder)).filter((name) => REQUEST.test(name));
    const errors: Error[] = [];
    for (const id of this.#round.splice(0, SWEPT)) {
      if (this.#open.has(id) || (this.files.isShared && isRecent(id))) continue;
      const folder = join(this.#folder, id);
      try {
        if (!await this.#isOwned(folder, events)) await this.disk.removeFolder(folder);
      } catch (error) {
        const message = `Uploaded files in ${folder} stay, as it is not known to which event they belong`;
        if (!this.#unchecked.has(id)) errors.push(new Error(`${message}: ${messageOf(error)}`, { cause: error }));
        this.#unchecked.add(id);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  async #isOwned(folder: string, { findKey, isKnown }: KnownEvents): Promise<boolean> {
    const names = await this.#list(folder);
    const keys = names.flatMap((name) => KEY.exec(name)?.[1] ?? []);
    for (const key of keys) if (await isKnown(key)) return true;
    if (keys.length > 0 || !names.includes(OWNERS)) return false;
    // The program was killed between the event and its key.
    for (const owner of readOwners(await this.disk.read(join(folder, OWNERS)))) {
      const key = await findKey(owner);
      if (key === undefined) continue;
      await this.#write(join(folder, `key-${key}`), "");
      return true;
    }
    return false;
  }

  async #list(folder: string): Promise<string[]> {
    try {
      return await this.disk.list(folder);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return [];
      throw error;
    }
  }
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

/** Another program may be receiving the request: its event is not known yet. */
function isRecent(id: string): boolean {
  return fromBase32(id.slice(0, 9)) > Date.now() - RECENT;
}

/** No event is accepted before its file of owners is complete, so one that is cut off has none. */
function readOwners(bytes: Uint8Array): Owner[] {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return [];
  }
}
