/** A file of the journal. */
export interface Segment {
  name: string;
  /** The first frame in it. */
  firstSeq: number;
  /** Up to the last frame that is on disk. */
  bytes: number;
}

/** `journal-000000000042`: sorts by its first frame. */
export function segmentName(firstSeq: number): string {
  return `journal-${String(firstSeq).padStart(12, "0")}`;
}

/** The first frame of a segment by its name, or undefined where it is another file. */
export function parseSegmentName(name: string): number | undefined {
  const digits = /^journal-(\d{12,})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
