import { rm } from "node:fs/promises";
import { openDatabase } from "../../runtime/database/open_database.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import { NOW, openStoresWith } from "../store/helpers.ts";
import { DatabaseServer, INFO } from "./server.ts";

const server = await DatabaseServer.start();
server.endWithTests();

// The tests of the store's behaviour, each on a database of its own.
openStoresWith(async () => {
  const database = await openDatabase(await server.create(), { info: INFO });
  await database.folder.load();
  const { path, folder: { disk }, lease: lock, elsewhere } = database;
  const onWarning = (message: string) => {
    throw new Error(message);
  };
  const store = await openStore({ folder: path, disk, lock: lock!, elsewhere, now: NOW, onWarning });
  const close = store.close.bind(store);
  store.close = async () => {
    await close();
    await database.close();
    await rm(path, { recursive: true });
  };
  return store;
});
const FILES = ["accept", "clock_rollback", "forms", "operate", "retry", "runs", "search", "waits"];
for (const file of FILES) await import(`../store/${file}_test.ts`);
