/** What a value is after it was recorded: properties that hold undefined are gone, no value is null. */
export type Recorded<T> = T extends undefined | void ? null : T;
