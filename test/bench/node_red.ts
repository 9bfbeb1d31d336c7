/** A node of a flow, as far as it differs from others. */
export interface FlowNode {
  id: string;
  type: string;
  wires: string[][];
  [option: string]: unknown;
}

/** The files of a Node-RED with one flow, without its editor, as on a server. */
export function nodeRedFlow(nodes: FlowNode[]): Record<string, string> {
  const settings = {
    uiHost: "127.0.0.1",
    flowFile: "flows.json",
    disableEditor: true,
    httpAdminRoot: false,
    credentialSecret: false,
  };
  const placed = nodes.map((node) => ({ z: "tab", x: 0, y: 0, ...node }));
  return {
    "settings.js": `module.exports = ${JSON.stringify(settings)};`,
    "flows.json": JSON.stringify([{ id: "tab", type: "tab", label: "bench" }, ...placed]),
  };
}
