import { Gauge, type Registry } from "./prom_client.ts";
import { listReplicas, REPLICA_STATES, type ReplicaListing, type Replicas } from "./replicas.ts";

/**
 * Metrics of the programs that share a database, read from it at each scrape. While it does not answer, there are none: a zero
 * would say that all is well.
 */
export function addReplicaMetrics(registry: Registry, replicas: Replicas): void {
  let listing: Promise<ReplicaListing[]> | undefined;
  // The metrics of one scrape are read at once: they share one query.
  const list = () => listing ??= listReplicas(replicas).catch(() => []).finally(() => listing = undefined);
  const own = async () => (await list()).find(({ id }) => id === replicas.me);
  const gauge = (name: string, help: string, read: () => Promise<number | undefined>) => {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        const value = await read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  };
  new Gauge({
    name: "whenthen_replicas",
    help: "Programs on the database by state, as each of them sees them",
    labelNames: ["state"],
    registers: [registry],
    async collect() {
      const listed = await list();
      this.reset();
      if (listed.length === 0) return;
      for (const state of REPLICA_STATES) this.set({ state }, listed.filter((each) => each.state === state).length);
    },
  });
  gauge("whenthen_replica_decides", "1 if this program decides, 0 if it follows", async () => {
    const replica = await own();
    return replica && Number(replica.decides);
  });
  gauge("whenthen_replica_behind_frames", "Frames of the log that this program has not applied yet", async () => {
    return (await own())?.behind;
  });
}
