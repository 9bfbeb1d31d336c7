export interface Frame {
  seq: number;
  payload: Uint8Array;
  /** Where the next one begins. */
  end: number;
}
