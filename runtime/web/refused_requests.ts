import type { Clock } from "../host/clock.ts";

/** A refused request, as the page of events shows it. Never its body, its query or its headers. */
export interface RefusedRequest {
  /** Ascends, also within a millisecond; in the unit of the keys of events, so that both sort together. */
  key: number;
  /** When it arrived, or the last of several; milliseconds since the epoch. */
  at: number;
  method: string;
  path: string;
  status: number;
  /** The answer to its sender. */
  reason: string;
  /** The address of its sender, or of the last proxy. */
  sender: string;
  /** The bytes of its body, as it declared them. */
  size?: number;
  /** How many equal ones arrived in a row. */
  count: number;
}

const KEPT = 1_000;
const STATUSES = [400, 401, 403, 404, 405, 408, 413, 415, 503];
const MOST_CHARACTERS = 500;

/**
 * The last requests to webhooks and to `POST /events` that were refused, in memory. Without them a sender with a wrong path or
 * secret looks like one that sends nothing. They have their own ring buffer: a flood of them cannot evict events.
 */
export class RefusedRequests {
  /** Oldest first. */
  readonly #ring: RefusedRequest[] = [];
  #last = 0;

  constructor(private readonly clock: Pick<Clock, "now">) {}

  /** Records a request if its answer is a refusal. @param address of the sender @returns why it was refused */
  async note(request: Request, path: string, response: Response, address: () => string): Promise<string> {
    if (!STATUSES.includes(response.status)) return "";
    // The address is only known while the request is in progress.
    const sender = address();
    const reason = await reasonOf(response.clone());
    this.#add({
      method: request.method,
      path: path.slice(0, MOST_CHARACTERS),
      status: response.status,
      reason,
      sender,
      ...sizeOf(request),
    });
    return reason;
  }

  /** Newest first. @param before a key */
  list(limit: number, before = Infinity, wanted: (request: RefusedRequest) => boolean = () => true): RefusedRequest[] {
    const found: RefusedRequest[] = [];
    for (let at = this.#ring.length - 1; at >= 0 && found.length < limit; at--) {
      if (this.#ring[at].key < before && wanted(this.#ring[at])) found.push(this.#ring[at]);
    }
    return found;
  }

  /** How many are kept. */
  get count(): number {
    return this.#ring.reduce((sum, { count }) => sum + count, 0);
  }

  /** The key of the newest; 0 without one. */
  get last(): number {
    return this.#last;
  }

  #add(request: Omit<RefusedRequest, "key" | "at" | "count">): void {
    const at = this.clock.now();
    // After the events of the same millisecond: their keys start at its first microsecond.
    this.#last = Math.max(this.#last + 1, at * 1_000 + 999);
    const newest = this.#ring[this.#ring.length - 1];
    const isSame = newest !== undefined && newest.path === request.path && newest.status === request.status &&
      newest.method === request.method && newest.sender === request.sender && newest.reason === request.reason;
    if (isSame) Object.assign(newest, request, { at, key: this.#last, count: newest.count + 1 });
    else this.#ring.push({ ...request, at, key: this.#last, count: 1 });
    if (this.#ring.length > KEPT) this.#ring.shift();
  }
}

async function reasonOf(response: Response): Promise<string> {
  try {
    const { error } = await response.json();
    // The text after a colon or a bracket may quote the body or a header.
    return /^[^:(]*/.exec(String(error))![0].trim().slice(0, MOST_CHARACTERS);
  } catch {
    return "";
  }
}

function sizeOf(request: Request): { size?: number } {
  const size = Number(request.headers.get("content-length") ?? NaN);
  return Number.isSafeInteger(size) ? { size } : {};
}
