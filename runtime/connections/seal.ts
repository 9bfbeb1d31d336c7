import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";

/** The secret with the keys, and how to make one. */
export const KEY_NAME = "WHENTHEN_KEY";
export const MAKE_KEY = `make a key with: openssl rand -base64 32, and set it as ${KEY_NAME}`;

const VERSION = "v1";
/** Bytes of an AES-256 key, and of GCM's initialization vector and tag (NIST SP 800-38D). */
const KEY = 32;
const IV = 12;
const TAG = 16;

/** Seals texts with the first of its keys; opens what any of them has sealed. AES-256-GCM. */
export class Seal {
  private constructor(private readonly keys: { id: string; key: Uint8Array }[]) {}

  /**
   * @param text the value of `WHENTHEN_KEY`: one key of 32 bytes in base64 or hex; while one replaces another, the new one first, a comma,
   * and the old one
   * @returns what is wrong with it as a text
   */
  static of(text: string | undefined): Seal | string {
    if (text === undefined || text.trim() === "") return `${KEY_NAME} is not set: ${MAKE_KEY}`;
    const keys = text.split(",").map((part) => decode(part.trim()));
    const wrong = keys.findIndex((key) => key === undefined);
    if (wrong === -1) return new Seal(keys.map((key) => ({ id: idOf(key!), key: key! })));
    const which = keys.length === 1 ? KEY_NAME : `Key ${wrong + 1} of ${KEY_NAME}`;
    return `${which} is not a key of 32 bytes in base64 or hex: ${MAKE_KEY}`;
  }

  /** @param name what the text belongs to: it cannot be opened under another name */
  seal(name: string, text: string): string {
    const [{ id, key }] = this.keys;
    const iv = randomBytes(IV);
    const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(name));
    const sealed = Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return [VERSION, id, sealed.toString("base64url")].join(".");
  }

  /** Undefined if none of the keys has sealed it, or if it was changed. */
  open(name: string, sealed: string): string | undefined {
    const [version, id, text = ""] = sealed.split(".");
    const key = this.keys.find((key) => key.id === id)?.key;
    const bytes = Buffer.from(text, "base64url");
    if (version !== VERSION || key === undefined || bytes.length < IV + TAG) return undefined;
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, IV), { authTagLength: TAG });
      decipher.setAAD(Buffer.from(name)).setAuthTag(bytes.subarray(-TAG));
      return Buffer.concat([decipher.update(bytes.subarray(IV, -TAG)), decipher.final()]).toString("utf8");
    } catch {
      return undefined;
    }
  }

  /** Whether the first key has sealed it: the others are no longer needed for it. */
  isCurrent(sealed: string): boolean {
    return sealed.split(".")[1] === this.keys[0].id;
  }
}

function decode(text: string): Uint8Array | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, "hex");
  const bytes = /^[A-Za-z0-9+/_-]{43}=?$/.test(text) ? Buffer.from(text, "base64") : undefined;
  return bytes?.length === KEY ? bytes : undefined;
}

function idOf(key: Uint8Array): string {
  return createHash("sha256").update("whenthen key id").update(key).digest("hex").slice(0, 12);
}
