import { DatabaseSync } from "node:sqlite";
import { silentLogger } from "@elasti/core";
import { openStore, type Store } from "@elasti/policies";
import { Client } from "pg";

/** What an entry of history keeps of a decision; about as long as those of the engine. */
const details = JSON.stringify({
  winner: "window",
  decision: {
    ...{ action: "scale_up", current_replicas: 3, desired_replicas: 5, bounds: { min: 2, max: 20 }, held_back: null },
    ...{
      triggered_by: "rule:0b9f4a4e-6a53-4a0e-8c3e-0c9c8f9d7a11",
      windows: [],
      wants_awake: false,
      wants_zero: false,
    },
    reason: '3 -> 5: a rule (sum(bench_load{queue="1"}) > 80 for 30s, is 95) wants 5',
    rules: [1, 2, 3].map((nth) => ({
      ...{ rule: `0b9f4a4e-6a53-4a0e-8c3e-0c9c8f9d7a1${nth}`, direction: "up", fired: nth === 1, wants: null },
      condition: { key: "k".repeat(22), text: 'sum(bench_load{queue="1"}) > 80', value: 95, met: true, held: true },
    })),
  },
});
const columns = `id, kind, policy_id, policy_name, action, outcome, target_type, target_namespace, target_name,
  target_api_version, target_kind, previous_replicas, new_replicas, reason, triggered_by, dry_run, details, executed_at`;
const common = `policy.id, policy.name, 'scale_up', 'executed', 'workload', policy.target_namespace, policy.target_name,
  'apps/v1', 'Deployment', 3, 5, 'a rule wants 5', 'rule:bench', false`;

/** Asks a server as a client of its own, without a deadline. */
export async function ask(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Gives a PostgreSQL so many entries of history, one every two seconds into the past, of all its policies in turn. */
export async function fillPostgres(url: string, rows: number): Promise<void> {
  await ask(
    url,
    `insert into scaling_history (${columns})
     select gen_random_uuid(), case when entry % 3 = 0 then 'action' else 'decision' end, ${common}, '${quoted}'::jsonb,
       now() - entry * interval '2 seconds'
     from generate_series(1, ${rows}) as entry
     join (select *, row_number() over (order by name) - 1 as place from scaling_policies) as policy
       on policy.place = entry % (select count(*) from scaling_policies)`,
  );
  // the server does it by itself, some time later
  await ask(url, "vacuum analyze");
}

/** As `fillPostgres`, for a file of SQLite whose schema is there. */
export function fillSqlite(file: string, rows: number): void {
  const database = new DatabaseSync(file);
  try {
    const random = (bytes: number) => `lower(hex(randomblob(${bytes})))`;
    database.exec(
      `with recursive entries (entry) as (select 1 union all select entry + 1 from entries where entry < ${rows})
       insert into scaling_history (${columns})
       select ${[4, 2, 2, 2, 6].map(random).join(" || '-' || ")},
         case when entry % 3 = 0 then 'action' else 'decision' end, ${common}, '${quoted}',
         strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || (2 * entry) || ' seconds')
       from entries
       join (select *, row_number() over (order by name) - 1 as place from scaling_policies) as policy
         on policy.place = entry % (select count(*) from scaling_policies)`,
    );
  } finally {
    database.close();
  }
}
const quoted = details.replaceAll("'", "''");

/** A statement as the store sent it. */
interface Statement {
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** What is read most: a page of policies, the state of one, the history of all and of one. */
export const hotReads: Readonly<Record<string, (store: Store, policy: string) => Promise<unknown>>> = {
  "a page of policies": (store) => store.policies.list({}, { limit: 50 }),
  "the state of a policy": async (store, id) => [await store.policies.get(id), await store.states.get(id)],
  "the history of all": (store) => store.history.list({}, { limit: 50 }),
  "the history of a policy": (store, id) => store.history.list({ policy_id: id }, { limit: 50 }),
  "the decisions of a policy": (store, id) => store.history.list({ policy_id: id, kind: "decision" }, { limit: 50 }),
};

export interface PlanOptions {
  readonly policy: string;
  /** A table with few rows is rightly read as a whole: only the history is looked at. */
  readonly historyOnly: boolean;
}

/** Has the store of a PostgreSQL read, and asks the server how it goes about each statement. @returns what goes without an index */
export async function postgresProblems(url: string, options: PlanOptions): Promise<string[]> {
  const store = await openStore({ url, logger: silentLogger });
  const statements: Statement[] = [];
  const own: { query: unknown } = Client.prototype;
  const { query } = own;
  own.query = function (this: unknown, ...given: unknown[]): unknown {
    if (typeof given[0] === "string") statements.push({ sql: given[0], values: (given[1] ?? []) as unknown[] });
    return Reflect.apply(query as (...all: unknown[]) => unknown, this, given);
  };
  try {
    return await problemsOf(store, statements, options, async ({ sql, values }) => {
      const client = new Client({ connectionString: url });
      await client.connect();
      try {
        const { rows } = await client.query<Record<string, unknown>>(`explain (format json) ${sql}`, [...values]);
        return scannedBy(rows[0]?.["QUERY PLAN"]);
      } finally {
        await client.end();
      }
    });
  } finally {
    own.query = query;
    await store.close();
  }
}

/** As `postgresProblems`, of a file of SQLite. */
export async function sqliteProblems(file: string, options: PlanOptions): Promise<string[]> {
  const statements: Statement[] = [];
  const own: { prepare: unknown } = DatabaseSync.prototype;
  const { prepare } = own;
  const store = await openStore({ file, logger: silentLogger });
  const database = new DatabaseSync(file);
  own.prepare = function (this: unknown, ...given: unknown[]): unknown {
    if (!String(given[0]).startsWith("explain")) statements.push({ sql: String(given[0]), values: [] });
    return Reflect.apply(prepare as (...all: unknown[]) => unknown, this, given);
  };
  try {
    return await problemsOf(store, statements, options, async ({ sql }) =>
      database
        .prepare(`explain query plan ${sql}`)
        .all()
        .flatMap(({ detail }) => /^SCAN (scaling_\w+)$/.exec(String(detail))?.[1] ?? []),
    );
  } finally {
    own.prepare = prepare;
    database.close();
    await store.close();
  }
}

/** @param scanned tables of which a statement reads every row */
async function problemsOf(
  store: Store,
  statements: Statement[],
  { policy, historyOnly }: PlanOptions,
  scanned: (statement: Statement) => Promise<readonly string[]>,
): Promise<string[]> {
  const problems: string[] = [];
  for (const [what, read] of Object.entries(hotReads)) {
    statements.length = 0;
    await read(store, policy);
    const sent = statements.filter(({ sql }) => /^\s*(select|with)\b/i.test(sql) && sql.includes("scaling_"));
    if (sent.length === 0) problems.push(`${what}: no statement was seen`);
    for (const statement of sent) {
      // how many there are in all is not to be known without counting them
      const counts = /^select count\(\*\)[^(]* from "scaling_policies"/.test(statement.sql);
      const tables = (await scanned(statement)).filter(
        (table) => table === "scaling_history" || !(historyOnly || (counts && table === "scaling_policies")),
      );
      if (tables.length > 0) problems.push(`${what}: all of ${tables.join(", ")} is read by ${statement.sql}`);
    }
  }
  return problems;
}

/** Tables that a plan reads without an index. */
function scannedBy(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  const { "Node Type": type, "Relation Name": table } = value as Readonly<Record<string, unknown>>;
  return [...(type === "Seq Scan" ? [String(table)] : []), ...Object.values(value).flatMap(scannedBy)];
}
