import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { systemClock } from "@elasti/core";
import { createKubeClient, type KubeClient } from "@elasti/kube";
import { type PostgresServer, startPostgres } from "@elasti/local";
import { ServerPolicy } from "@elasti/scaling";
import { Client } from "pg";
import { sqlProblem } from "../../src/domain/one-select.ts";
import { Catalogue, MetricSources, readSqlConnection, SqlSource, type SqlSourceOptions } from "../../src/index.ts";
import { ask, needsPostgres, newDatabase, skip } from "../postgres.ts";

const signal = new AbortController().signal;
const target = { namespace: "shop", name: "web" };

describe("the URL of an SQL connection", () => {
  it("is read as it is meant", () => {
    assert.deepEqual(readSqlConnection(" postgres://me:a%40b%2F@db.example:5433/jobs?sslmode=verify-full\n"), {
      host: "db.example",
      port: 5433,
      user: "me",
      password: "a@b/",
      database: "jobs",
      tls: "verify",
    });
    assert.deepEqual(readSqlConnection("postgresql://me@[::1]"), {
      host: "::1",
      port: 5432,
      user: "me",
      password: "",
      database: "me",
      tls: "none",
    });
  });

  it("is refused without any of it being told", () => {
    for (const text of [
      "secret",
      "mysql://u:secret@h/d",
      "postgres:///secret",
      "postgres://h/secret",
      "postgres://u:secret@h/d?sslrootcert=/etc/passwd",
      "postgres://u:secret@h/d?host=/run/secret",
      "postgres://u:secret@h/d?sslmode=secret",
      "postgres://u:secret%zz@h/d",
    ]) {
      const said = readSqlConnection(text);
      assert.ok(typeof said === "string", text);
      assert.doesNotMatch(said, /secret|passwd/);
    }
  });

  it("is asked one SELECT", () => {
    for (const query of ["select 1", " (SELECT 1)", "-- x\n/* y */ with a as (select 1) select * from a", "table t"]) {
      assert.equal(sqlProblem(query), undefined, query);
    }
    for (const query of ["", "commit", "copy (select 1) to program 'x'", "selection", "/* select", "do $$ $$"]) {
      assert.equal(sqlProblem(query), "must be one SELECT", query);
    }
  });
});

needsPostgres();

describe("metrics by SQL", { skip }, () => {
  let server: PostgresServer;
  let url: string;
  let client: KubeClient;
  const secrets: Record<string, Record<string, string>> = {};
  let secretsRead = 0;
  const open: SqlSource[] = [];
  const sourceOf = (more: Partial<SqlSourceOptions> = {}) => {
    const source = new SqlSource({
      connections: { queue: url },
      client,
      policy: new ServerPolicy([`${server.host}:${server.port}`]),
      clock: systemClock,
      keepMs: 0,
      ...more,
    });
    open.push(source);
    return source;
  };
  const read = (query: string, connection = "queue", source = sourceOf()) =>
    source.read({ query, connection }, target, Date.now(), signal);

  before(async () => {
    server = await startPostgres();
    url = await newDatabase(server);
    await ask(url, "create table jobs (app text, done boolean)");
    await ask(url, "insert into jobs values ('web', false), ('web', false), ('web', true), ('api', false)");
    client = createKubeClient({
      cluster: { server: "http://127.0.0.1:1", token: async () => undefined },
      transport: async ({ path }) => {
        secretsRead += 1;
        const { groups = {} } = /namespaces\/(?<namespace>[^/]+)\/secrets\/(?<name>[^/]+)$/.exec(path) ?? {};
        const texts = secrets[`${groups.namespace}/${groups.name}`];
        if (texts === undefined) return { status: 404, body: { kind: "Status", message: "no such secret" } };
        const data = Object.fromEntries(
          Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
        );
        return { status: 200, body: { apiVersion: "v1", kind: "Secret", metadata: { name: groups.name }, data } };
      },
    });
  });
  after(async () => {
    await Promise.all(open.map((source) => source.close()));
    await client?.close();
    await server?.close();
  });

  it("gives one number, whatever its type", async () => {
    for (const [query, value] of [
      ["select count(*) from jobs where not done", 3],
      ["select 1.25::numeric", 1.25],
      ["select -1e3::float8", -1_000],
      ["select '7'::text;", 7],
      ["with x as (select 2 as n) select n * 2 from x", 4],
    ] as const) {
      const sample = await read(query);
      assert.equal(sample.kind === "value" && sample.value, value, JSON.stringify(sample));
    }
  });

  it("passes the target of a catalogue's metric as a value", async () => {
    const catalogue = Catalogue.parse({
      open: {
        source: "sql",
        connection: "queue",
        query: `select count(*) from jobs where app = \${name} and not done`,
      },
    });
    const sources = new MetricSources({ clock: systemClock, catalogue, sql: sourceOf() });
    const of = async (name: string) => {
      const sample = await sources.read("open", { namespace: "shop", name }, signal);
      return sample.kind === "value" ? sample.value : sample;
    };
    assert.equal(await of("web"), 2);
    assert.equal(await of("api"), 1);
    assert.equal(await of("' or true --"), 0);
    await sources.close();
  });

  it("knows nothing where there is no one number, and says why", async () => {
    for (const [query, reason, message] of [
      ["select 1 where false", "NoData", /no row/],
      ["select null::int", "NoData", /null/],
      ["select 1 from jobs", "SqlNotOneNumber", /4 rows/],
      ["select 1, 1", "SqlNotOneNumber", /2 columns/],
      ["select 'a'", "SqlNotOneNumber", /"a", expected a number/],
      ["select 'NaN'::float8", "SqlNotOneNumber", /NaN/],
      ["select 'infinity'::float8", "SqlNotOneNumber", /Infinity/],
      ["select true", "SqlNotOneNumber", /"t"/],
      ["select nothing", "SqlRejected", /column "nothing" does not exist/],
      ["selec 1", "SqlRejected", /one SELECT/],
      ["select 1; select 2", "SqlRejected", /multiple commands/],
      ["select 1; drop table jobs", "SqlRejected", /multiple commands/],
      ["with gone as (delete from jobs returning 1) select count(*) from gone", "SqlRejected", /read-only transaction/],
      ["select 1 into other", "SqlRejected", /read-only transaction/],
      ["select set_config('transaction_read_only', 'off', false)", "SqlRejected", /must be set before any query/],
      [`select '${"x".repeat(500)}'::int`, "SqlRejected", /^.{0,240}\.\.\.$/],
    ] as const) {
      const sample = await read(query);
      assert.ok(sample.kind === "unknown", `${query}: ${JSON.stringify(sample)}`);
      assert.equal(sample.reason, reason, `${query}: ${sample.message}`);
      assert.match(sample.message, message);
    }
    assert.deepEqual(await ask(url, "select count(*)::int as n from jobs"), [{ n: 4 }]);
  });

  it("gives up what takes too long and what says too much, and asks again", async () => {
    const source = sourceOf({ statementMs: 200 });
    const late = await read("select pg_sleep(20)", "queue", source);
    assert.equal(late.kind === "unknown" && late.reason, "SqlTimeout", JSON.stringify(late));
    const patient = sourceOf({ statementMs: 20_000 });
    for (const query of ["select repeat('x', 1000000)", "select n from generate_series(1, 100000) n"]) {
      const long = await read(query, "queue", patient);
      assert.equal(long.kind === "unknown" && long.reason, "SqlAnswerTooLarge", JSON.stringify(long));
    }
    const again = await read("select 1", "queue", patient);
    assert.equal(again.kind, "value", JSON.stringify(again));
  });

  it("takes back what a query has set", async () => {
    const source = sourceOf();
    await read("select set_config('search_path', 'nowhere', false)", "queue", source);
    assert.equal((await read("select count(*) from jobs", "queue", source)).kind, "value");
  });

  it("reads the URL of a Secret in the target's namespace", async () => {
    secrets["shop/db"] = { url: `${url}\n`, wrong: "mysql://u:hidden@h/d" };
    secrets["other/db"] = { url: "nonsense" };
    assert.equal((await read("select 1", "db/url")).kind, "value");
    for (const [connection, message] of [
      ["db/none", /Secret shop\/db has no key none/],
      ["db/constructor", /has no key constructor/],
      ["nobody/url", /there is no Secret shop\/nobody/],
      ["db/wrong", /Secret shop\/db\/wrong does not begin with postgres/],
      ["db/url/more", /is not <Secret>\/<key>/],
      ["nobody", /no connection nobody is configured: expected queue, or <Secret>\/<key>/],
    ] as const) {
      const sample = await read("select 1", connection);
      assert.ok(sample.kind === "unknown" && sample.reason === "SqlConnectionMissing", JSON.stringify(sample));
      assert.match(sample.message, message);
      assert.doesNotMatch(sample.message, /hidden/);
    }
  });

  it("goes nowhere by a Secret where tenants have no business, by number or by name", async () => {
    const port = String(server.port);
    secrets["shop/db"] = { number: url, name: url.replace("127.0.0.1", "localhost") };
    const anywhere = sourceOf({ policy: new ServerPolicy(["*"]) });
    for (const connection of ["db/number", "db/name"]) {
      const sample = await read("select 1", connection, anywhere);
      assert.ok(sample.kind === "unknown" && sample.reason === "ServerNotAllowed", JSON.stringify(sample));
    }
    assert.equal((await read("select 1", "queue", anywhere)).kind, "value");
    const named = sourceOf({ policy: new ServerPolicy([`localhost:${port}`]) });
    assert.equal((await read("select 1", "db/name", named)).kind, "value");
  });

  it("tells neither address nor password of what it cannot reach", async () => {
    const wrong = url.replace(encodeURIComponent(server.password), "hidden");
    const connections = {
      password: wrong,
      database: server.url("none-such"),
      port: url.replace(`:${server.port}/`, ":1/"),
      host: url.replace("127.0.0.1", "no.such.host.invalid"),
      tls: `${url}?sslmode=require`,
    };
    const source = sourceOf({ connections });
    for (const connection of Object.keys(connections)) {
      const sample = await read("select 1", connection, source);
      assert.ok(sample.kind === "unknown" && sample.reason === "SqlUnreachable", JSON.stringify(sample));
      for (const secret of ["hidden", server.password, server.host, "no.such.host", url]) {
        assert.ok(!sample.message.includes(secret), sample.message);
      }
    }
  });

  it("asks once per round, and reads a Secret no more often", async () => {
    secrets["shop/db"] = { url };
    const source = sourceOf({ keepMs: 60_000 });
    const before = secretsRead;
    const query = "select count(*) + extract(epoch from clock_timestamp()) * 0 + random() from jobs";
    const samples = await Promise.all([1, 2, 3].map(() => read(query, "db/url", source)));
    samples.push(await read(query, "db/url", source));
    assert.ok(samples.every((sample) => sample.kind === "value"));
    assert.equal(new Set(samples.map((sample) => sample.kind === "value" && sample.value)).size, 1);
    assert.equal(secretsRead - before, 1);
  });

  it("has few connections to a database, and closes those that nobody uses", async () => {
    await Promise.all(open.splice(0).map((other) => other.close()));
    const source = sourceOf({ idleMs: 50, statementMs: 50_000, connectMs: 50_000 });
    const database = new URL(url).pathname.slice(1);
    const holder = new Client({ connectionString: url });
    await holder.connect();
    await holder.query("select pg_advisory_lock(1)");
    const connections = async () => {
      const where = `application_name = 'elasti' and datname = '${database}'`;
      const { rows } = await holder.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where ${where}`,
      );
      return rows[0]!.n;
    };
    const waiting = Array.from({ length: 10 }, (_, n) =>
      read(`select ${n} from (select pg_advisory_xact_lock_shared(1)) as waits`, "queue", source),
    );
    while ((await connections()) < 2);
    // another database is not kept waiting by this one
    const other = await newDatabase(server);
    secrets["shop/other"] = { url: other };
    assert.equal((await read("select 1", "other/url", source)).kind, "value");
    assert.equal(await connections(), 2);
    await holder.query("select pg_advisory_unlock(1)");
    const samples = await Promise.all(waiting);
    assert.ok(
      samples.every((sample, n) => sample.kind === "value" && sample.value === n),
      JSON.stringify(samples),
    );
    while ((await connections()) > 0);
    assert.equal((await read("select 1", "queue", source)).kind, "value");
    await holder.end();
  });

  it("serves nobody any more who waits when it is closed", async () => {
    const source = sourceOf({ statementMs: 50_000 });
    const holder = new Client({ connectionString: url });
    await holder.connect();
    await holder.query("select pg_advisory_lock(2)");
    const waiting = Array.from({ length: 50 }, (_, n) =>
      read(`select ${n} from (select pg_advisory_xact_lock_shared(2)) as waits`, "queue", source),
    );
    const ends = Promise.allSettled(waiting);
    while ((await locksWaitedFor(holder)) < 2);
    const closing = source.close();
    const results = await ends;
    assert.ok(results.every(({ status }) => status === "rejected"));
    assert.equal(await locksWaitedFor(holder), 2);
    await holder.query("select pg_advisory_unlock(2)");
    await closing;
    await holder.end();
  });

  it("makes room for another database by closing one that is idle", async () => {
    const second = await newDatabase(server);
    const source = sourceOf({ maxPools: 1, connections: { first: url, second } });
    assert.equal((await read("select 1", "first", source)).kind, "value");
    assert.equal((await read("select 1", "second", source)).kind, "value");
    const busy = read("select pg_sleep(0.3), 1", "first", source);
    const refused = await read("select 1", "second", source);
    assert.equal(refused.kind === "unknown" && refused.reason, "TooManyQuestions", JSON.stringify(refused));
    await busy;
  });
});

async function locksWaitedFor(client: Client): Promise<number> {
  const sql = "select count(*)::int as n from pg_locks where locktype = 'advisory' and not granted";
  return (await client.query<{ n: number }>(sql)).rows[0]!.n;
}
