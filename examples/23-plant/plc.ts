// How a PLC is spoken to. The connection is the session: opened by init, kept for pings and tasks, closed by stop.
import { device, task, type } from "whenthen";
import { Unit } from "./frames.ts";

/** A register that every PLC has. */
const STATUS = 0;

export default device({
  item: type<{ name: string; host: string; port: number; unit: number }>(),
  async init({ device, signal }) {
    const unit = await Unit.open(device, signal);
    await unit.read(STATUS, signal);
    return unit;
  },
  async ping({ session, signal }) {
    await session.read(STATUS, signal);
  },
  tasks: {
    read: task({
      title: "Read a register",
      inputs: { register: { type: "integer", min: 0, max: 65535 } },
      timeout: "5s",
      run: ({ session, inputs, signal }) => session.read(inputs.register, signal),
    }),
    write: task({
      title: "Write a register",
      inputs: {
        register: { type: "integer", min: 0, max: 65535 },
        value: { type: "integer", min: 0, max: 65535 },
      },
      timeout: "5s",
      run: async ({ session, inputs, signal }) => {
        await session.write(inputs.register, inputs.value, signal);
      },
    }),
  },
  stop: ({ session }) => session?.close(),
  info: ({ session }) => ({ localPort: session.socket.localPort ?? null }),
});
