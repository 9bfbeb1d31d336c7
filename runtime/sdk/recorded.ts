/** The type of a value after it was recorded: properties with the value undefined are gone, and no value is null. */
export type Recorded<T> = T extends undefined | void ? null : T;
