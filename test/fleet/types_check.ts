import { device, task, type } from "whenthen";
class Conn { read(n: number): Promise<number> { return Promise.resolve(n); } close() {} firmware = "x"; }
const connect = (_host: string, _signal: AbortSignal): Promise<Conn> => Promise.resolve(new Conn());
export default device({
  item: type<{ host: string }>(),
  init: ({ device, signal }) => connect(device.host, signal),
  ping: ({ session, signal }) => { void signal; const n: Promise<number> = session.read(0); return n; },
  tasks: { read: task({ inputs: { register: { type: "integer" } }, run: ({ session, inputs }) => { const x: Promise<number> = session.read(inputs.register); return x; } }) },
  stop: ({ session }) => session?.close(),
  info: ({ session }) => ({ firmware: session.firmware }),
});
export const other = device<{ host: string }>({
  init: ({ device, signal }) => connect(device.host, signal),
  ping: ({ session }) => session.read(0),
  tasks: { read: task({ inputs: { register: { type: "integer" } }, run: ({ session, inputs }) => session.read(inputs.register) }) },
  stop: ({ session }) => session.close(),
});
