/** A job of the load generator. */
export interface Job {
  port: number;
  /** With a leading slash; different ones in turn. */
  paths: string[];
  seconds: number;
  /** Each has one request under way. */
  connections: number;
  /** Requests a second, however long the responses take; absent for a closed loop. */
  rate?: number;
  /** Bodies are signed with it: HMAC-SHA256, in hex, in the header X-Signature. */
  secret?: string;
  /** Bytes of a JSON body; absent for a GET. */
  bytes?: number;
  /** The body is an event of this type, with the order as its data. */
  event?: string;
}

/** Its result. */
export interface Load {
  /** Responses with 200 or 202 per second. */
  rate: number;
  answered: number;
  /** Other responses, and closed connections. */
  failed: number;
  /** The first of them. */
  failure?: string;
  /** Milliseconds from when a request was due to its answer. */
  p50: number;
  p99: number;
  longest: number;
  /** Share of one processor that the generator itself used: far below 1 means that it was not the bottleneck. */
  generator: number;
}
