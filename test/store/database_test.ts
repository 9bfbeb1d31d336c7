import assert from "node:assert/strict";
import { Database } from "../../runtime/store/sqlite/database.ts";
import { SCHEMA_VERSION } from "../../runtime/store/sqlite/schema.ts";

const PUT = "INSERT INTO state (key, value) VALUES (@key, '1')";

async function live(): Promise<Database> {
  const database = await Database.live((text) => text);
  database.migrate(0, SCHEMA_VERSION);
  return database;
}

function keys(database: Database): string {
  return database.all<{ key: string }>("SELECT key FROM state ORDER BY key").map(({ key }) => key).join(" ");
}

Deno.test("of many frames each can be undone alone, whatever transaction of SQLite it is in", async () => {
  const database = await live();
  const kept: string[] = [];
  for (let frame = 100; frame < 300; frame++) {
    database.begin();
    database.run(PUT, `k${frame}`);
    if (frame % 3 === 0) database.rollback();
    else {
      assert.deepEqual(database.commit().map(({ params }) => params), [[`k${frame}`]]);
      kept.push(`k${frame}`);
    }
    assert.equal(keys(database), kept.join(" "));
  }
  database.close();
});

Deno.test("where SQLite undoes more than a frame, as without memory, neither its end nor its undoing passes for one", async () => {
  for (const end of ["commit", "rollback"] as const) {
    const database = await live();
    database.begin();
    database.run(PUT, "a");
    database.commit();
    database.begin();
    assert.throws(() => database.run(PUT.replace("INSERT", "INSERT OR ROLLBACK"), "a"), /UNIQUE/);
    assert.throws(() => database[end](), /no such savepoint/);
    database.close();
  }
});
