// CommonJS, as `require` is the only synchronous way to load a package late: most commands say nothing of cron patterns.

/** @type {(pattern: string) => string} */
exports.describe = (pattern) => require("cronstrue").toString(pattern, { use24HourTimeFormat: true });
