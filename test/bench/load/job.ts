/** What the load generator is told to do. */
export interface Job {
  port: number;
  /** With a leading slash; different ones in turn. */
  paths: string[];
  seconds: number;
  /** Each has one request under way. */
  connections: number;
  /** Requests a second, however long the answers take; absent where each connection asks again at once. */
  rate?: number;
  /** Bodies are signed with it: HMAC-SHA256, in hex, in the header X-Signature. */
  secret?: string;
  /** Bytes of a JSON body; absent where it is a GET. */
  bytes?: number;
  /** The body is an event of this type, with the order as its data. */
  event?: string;
}

/** What came of it. */
export interface Load {
  /** Answers of 200 and 202 a second. */
  rate: number;
  answered: number;
  /** Other answers, and connections that were closed. */
  failed: number;
  /** What the first of them was. */
  failure?: string;
  /** Milliseconds from when a request was due to its answer. */
  p50: number;
  p99: number;
  longest: number;
  /** Share of one processor that the generator itself took: far below 1 means that it was not what was measured. */
  generator: number;
}
