// CommonJS, as `require` is the only synchronous way to load a package late: most folders format no dates, and the packages take 3 MB.

/** @type {(time: number, format: string, zone: string) => string} */
exports.formatInZone = (time, format, zone) => {
  const { format: write } = require("date-fns/format");
  const { TZDateMini } = require("@date-fns/tz/date/mini");
  return write(new TZDateMini(time, zone), format);
};
