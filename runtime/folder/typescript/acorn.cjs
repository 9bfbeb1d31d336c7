// CommonJS, as `require` is the only synchronous way to load a package late: a start without problems in TypeScript files needs no parser.

/** @type {(code: string) => import("acorn").Program} */
exports.parseModule = (code) =>
  require("acorn").parse(code, { ecmaVersion: "latest", sourceType: "module", locations: true });
