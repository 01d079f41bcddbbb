import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { createLogger, silentLogger } from "@elasti/core";
import { type PostgresServer, startPostgres } from "@elasti/local";
import { Client } from "pg";
import { openStore, type StoreOptions } from "../../src/index.ts";
import { ask, needsPostgres, newDatabase, skip } from "../postgres.ts";
import { draft, entry, rule, state } from "./drafts.ts";
import { storeContract } from "./store-contract.ts";

needsPostgres();

describe("with a real PostgreSQL", { skip }, () => {
  let server: PostgresServer;
  const open = (url: string, more: Partial<StoreOptions> = {}) => openStore({ url, logger: silentLogger, ...more });
  const unusable = { code: "ELASTI_POLICY_DATABASE" };

  before(async () => {
    server = await startPostgres();
  });
  after(() => server?.close());

  describe("the store on PostgreSQL", () => {
    storeContract(async (clock) => open(await newDatabase(server), { clock }));
  });

  it("brings the schema up once, however many begin at once, and finds it done later", async () => {
    const url = await newDatabase(server);
    const stores = await Promise.all(Array.from({ length: 5 }, () => open(url)));
    const made = await stores[0]!.policies.create(draft({ scale_up_rules: [rule()] }));
    for (const store of stores) assert.deepEqual(await store.policies.get(made.id), made);
    await Promise.all(stores.map((store) => store.close()));
    const again = await open(url);
    assert.deepEqual(await again.policies.get(made.id), made);
    await again.close();
    const migrations = await ask(url, "select name from scaling_migration");
    assert.deepEqual(migrations, [{ name: "0001-first" }]);
  });

  it("has the column types that say what is in them", async () => {
    const url = await newDatabase(server);
    await (await open(url)).close();
    const columns = await ask(
      url,
      "select table_name || '.' || column_name as name, data_type as type from information_schema.columns where table_schema = 'public'",
    );
    const types = Object.fromEntries(columns.map(({ name, type }) => [String(name), type]));
    for (const table of ["policies", "rules", "schedules", "history"])
      assert.equal(types[`scaling_${table}.id`], "uuid");
    assert.equal(types["scaling_rules.condition"], "jsonb");
    assert.equal(types["scaling_state.pending_conditions"], "jsonb");
    assert.equal(types["scaling_history.executed_at"], "timestamp with time zone");
    assert.equal(types["scaling_policies.target_id"], "uuid");
  });

  it("refuses a database that a newer program has migrated", async () => {
    const url = await newDatabase(server);
    await (await open(url)).close();
    await ask(url, "insert into scaling_migration values ('0999-later', '2030-01-01T00:00:00.000Z')");
    await assert.rejects(open(url), { code: "ELASTI_POLICY_DATABASE_VERSION", message: /newer Elasti \(0999-later\)/ });
  });

  it("fails while the server is stopped, and goes on when it is back", async () => {
    const lines: { level: string; msg: string }[] = [];
    const logger = createLogger({ name: "test" }, { write: (line) => void lines.push(JSON.parse(line)) });
    const store = await open(await newDatabase(server), { logger });
    const made = await store.policies.create(draft({ scale_up_rules: [rule()] }));
    const term = await store.states.begin();
    await store.states.save([state(made.id)], term);
    // connections that wait in the pool break with the server
    await Promise.all(Array.from({ length: 5 }, () => store.ping()));
    lines.length = 0;
    await server.stop();
    for (const call of [
      () => store.policies.get(made.id),
      () => store.policies.create(draft()),
      () => store.policies.list({}, { limit: 1 }),
      () => store.policies.revision(),
      () => store.states.save([state(made.id, { decision_mark: "lost" })], term),
      () => store.history.append([entry()]),
      () => store.ping(),
    ]) {
      await assert.rejects(call, (error: Error & { code: string }) => {
        assert.equal(error.code, "ELASTI_POLICY_DATABASE");
        assertNoSecret(error, server);
        return true;
      });
    }
    await server.start();
    assert.deepEqual(await store.policies.get(made.id), made);
    assert.deepEqual(await store.states.get(made.id), state(made.id));
    assert.equal((await store.policies.list({}, { limit: 1 })).total, 1);
    await store.close();
    const told = lines.filter(({ level }) => level !== "debug").map(({ msg }) => msg);
    assert.deepEqual(told, ["the database cannot be used", "the database answers again"]);
  });

  it("gives up a statement that the server takes too long for, and takes nothing of it", async () => {
    const url = await newDatabase(server);
    const store = await open(url);
    const impatient = await open(url, { statementMs: 300, eager: false });
    const made = await store.policies.create(draft());
    const other = new Client({ connectionString: url });
    await other.connect();
    await other.query("begin");
    await other.query("select * from scaling_policies for update");
    await assert.rejects(impatient.policies.replace({ ...made, description: "late" }), unusable);
    await other.query("rollback");
    await other.end();
    assert.deepEqual(await store.policies.get(made.id), made);
    assert.equal((await store.policies.replace({ ...made, description: "now" })).version, 2);
    await Promise.all([store.close(), impatient.close()]);
  });

  it("does not stay with a connection on which nothing answers", async () => {
    const between = await silentBetween(server);
    const url = (await newDatabase(server)).replace(`:${server.port}/`, `:${between.port}/`);
    const store = await open(url, { connections: 1, statementMs: 1_500, connectMs: 2_500 });
    const made = await store.policies.create(draft());
    between.silence(true);
    await assert.rejects(store.policies.get(made.id), unusable);
    // a new connection gets no answer either
    await assert.rejects(store.policies.get(made.id), unusable);
    between.silence(false);
    assert.deepEqual(await store.policies.get(made.id), made);
    await store.close();
    await between.close();
  });

  it("may begin before its database", async () => {
    const url = await newDatabase(server);
    await server.stop();
    await assert.rejects(open(url), unusable);
    const store = await open(url, { eager: false });
    await assert.rejects(store.ping(), unusable);
    await server.start();
    const made = await store.policies.create(draft());
    assert.deepEqual(await store.policies.get(made.id), made);
    await store.close();
  });

  it("tells no password", async () => {
    const url = server.url("none-such");
    const wrong = url.replace(encodeURIComponent(server.password), "other-s3cret");
    for (const address of [
      url,
      wrong,
      `${url}?sslmode=verify-full`,
      wrong.replace("127.0.0.1", "no.such.host.invalid"),
    ]) {
      await assert.rejects(open(address, { connectMs: 2_000 }), (error: Error & { code: string }) => {
        assert.equal(error.code, "ELASTI_POLICY_DATABASE");
        assert.doesNotMatch(`${error.message} ${JSON.stringify(error)} ${error.stack}`, /other-s3cret/);
        assertNoSecret(error, server);
        assert.equal(error.cause, undefined);
        return true;
      });
    }
    await assert.rejects(open("mysql://u:hidden@h/d"), (error: Error) => !error.message.includes("hidden"));
  });

  it("uses an index for what is read most", async () => {
    const url = await newDatabase(server);
    const store = await open(url);
    const made = await Promise.all([1, 2, 3].map(() => store.policies.create(draft())));
    const entries = Array.from({ length: 3_000 }, (_, index) =>
      entry({
        kind: index % 3 === 0 ? "action" : "decision",
        policy_id: made[index % 2]!.id,
        executed_at: new Date(Date.UTC(2026, 0, 1) + index * 1_000).toISOString(),
      }),
    );
    await store.history.append(entries);
    await ask(url, "analyze");
    const order = "order by executed_at desc, id desc limit 51";
    for (const [where, index] of [
      ["true", "scaling_history_executed_at"],
      [`policy_id = '${made[0]!.id}'`, "scaling_history_policy"],
      [`policy_id = '${made[0]!.id}' and kind = 'decision'`, "scaling_history_policy_kind"],
    ]) {
      const plan = JSON.stringify(await ask(url, `explain select * from scaling_history where ${where} ${order}`));
      assert.match(plan, new RegExp(`Index Scan using ${index} `), `${where}: ${plan}`);
      assert.doesNotMatch(plan, /Sort/, `${where}: ${plan}`);
    }
    await store.close();
  });
});

function assertNoSecret(error: Error, server: PostgresServer): void {
  const shown = `${error.message} ${JSON.stringify(error)} ${error.stack}`;
  for (const secret of [server.password, encodeURIComponent(server.password)])
    assert.ok(!shown.includes(secret), shown);
}

/** Stands between client and server, and passes nothing on while it is told to be silent, without closing anything. */
async function silentBetween(server: PostgresServer) {
  let silent = false;
  const sockets = new Set<Socket>();
  const between = createServer((client) => {
    const upstream = connect(server.port, server.host);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("data", (chunk) => void (silent || to.write(chunk)));
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  between.listen(0, "127.0.0.1");
  await once(between, "listening");
  return {
    port: (between.address() as AddressInfo).port,
    silence: (value: boolean) => {
      silent = value;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      between.close();
      await once(between, "close");
    },
  };
}
