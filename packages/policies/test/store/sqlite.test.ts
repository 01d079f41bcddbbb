import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, it } from "node:test";
import { silentLogger } from "@elasti/core";
import { openStore } from "../../src/index.ts";
import { draft, entry, rule, state } from "./drafts.ts";
import { storeContract } from "./store-contract.ts";

const directory = mkdtempSync(join(tmpdir(), "elasti-store-"));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;
const newFile = () => join(directory, "deeper", `${++files}.db`);
const logger = silentLogger;

describe("the store on SQLite", () => {
  storeContract((clock) => openStore({ file: newFile(), clock, logger }));
});

describe("the store in an SQLite file", () => {
  it("finds everything again after a restart", async () => {
    const file = newFile();
    const first = await openStore({ file, logger });
    const made = await first.policies.create(draft({ scale_up_rules: [rule()] }));
    await first.states.save([state(made.id)], await first.states.begin());
    const told = entry({ policy_id: made.id });
    await first.history.append([told]);
    const revision = await first.policies.revision();
    await first.close();
    const second = await openStore({ file, logger });
    assert.deepEqual(await second.policies.get(made.id), made);
    assert.deepEqual(await second.states.get(made.id), state(made.id));
    assert.deepEqual((await second.history.list({}, { limit: 1 })).items, [told]);
    assert.equal(await second.policies.revision(), revision);
    await second.close();
  });

  it("is opened by several at once, and written by all of them", async () => {
    const file = newFile();
    const stores = await Promise.all(Array.from({ length: 4 }, () => openStore({ file, logger })));
    await Promise.all(stores.flatMap((store) => [store.policies.create(draft()), store.policies.create(draft())]));
    assert.equal((await stores[0]!.policies.list({}, { limit: 1 })).total, 8);
    assert.equal(await stores[1]!.policies.revision(), 8);
    await Promise.all(stores.map((store) => store.close()));
  });

  it("refuses a file that a newer program has migrated", async () => {
    const file = newFile();
    await (await openStore({ file, logger })).close();
    const database = new DatabaseSync(file);
    database.exec("insert into scaling_migration values ('0999-later', '2030-01-01T00:00:00.000Z')");
    database.close();
    await assert.rejects(openStore({ file, logger }), {
      code: "ELASTI_POLICY_DATABASE_VERSION",
      message: /newer Elasti \(0999-later\)/,
    });
  });

  it("says so where the file cannot be used", async () => {
    await assert.rejects(openStore({ file: directory, logger }), { code: "ELASTI_POLICY_DATABASE" });
    await assert.rejects(openStore({ logger }), { code: "ELASTI_POLICY_DATABASE" });
    const closed = await openStore({ file: ":memory:", logger });
    await closed.close();
    await closed.close();
    await assert.rejects(closed.ping(), { code: "ELASTI_POLICY_DATABASE", message: "the store is closed" });
  });

  it("lets no more than a thousand calls wait", async () => {
    const store = await openStore({ file: ":memory:", logger });
    const results = await Promise.allSettled(Array.from({ length: 1_002 }, () => store.ping()));
    const refused = results
      .filter((result) => result.status === "rejected")
      .map(({ reason }) => String(reason.message));
    assert.deepEqual(refused, Array(2).fill("more than 1000 calls wait for the database"));
    await store.close();
  });

  it("uses an index for what is read most", async () => {
    const file = newFile();
    await (await openStore({ file, logger })).close();
    const database = new DatabaseSync(file);
    const plan = (query: string) =>
      database
        .prepare(`explain query plan ${query}`)
        .all()
        .map(({ detail }) => String(detail))
        .join("; ");
    const order = "order by executed_at desc, id desc limit 51";
    for (const [where, index] of [
      ["1 = 1", "scaling_history_executed_at"],
      ["policy_id = 'x'", "scaling_history_policy"],
      ["policy_id = 'x' and kind = 'decision'", "scaling_history_policy_kind"],
      ["target_namespace = 'x' and target_name = 'y'", "scaling_history_target"],
      ["target_namespace = 'x' and +kind = 'action'", "scaling_history_namespace"],
      ["policy_id = 'x' and +target_namespace = 'y'", "scaling_history_policy"],
      ["+target_namespace in (select value from json_each('[]'))", "scaling_history_executed_at"],
    ]) {
      const said = plan(`select * from scaling_history where ${where} ${order}`);
      assert.match(said, new RegExp(`USING INDEX ${index}\\b`), `${where}: ${said}`);
      assert.doesNotMatch(said, /TEMP B-TREE/, `${where}: ${said}`);
    }
    database.close();
  });
});
