import { type Expression, type ExpressionBuilder, type Kysely, type SqlBool, sql } from "kysely";
import type { HistoryEntry, HistoryFilter, HistoryRepository, Page, PageRequest } from "../contracts.ts";
import type { PolicyTarget } from "../schema/policy.ts";
import { cursorOf, keysOf, pageSize } from "./cursor.ts";
import { type ColumnType, isAnyOf, isStorable, isUuid, rowsOf, timeOf } from "./encode.ts";
import { refusal } from "./faults.ts";
import { restCondition } from "./migrations/first.ts";
import type { Guard, TableOptions } from "./policy-store.ts";
import { historyEntry, historyRow } from "./rows.ts";
import type { DatabaseKind, HistoryRow, Tables } from "./tables.ts";

const columns = {
  id: "uuid",
  kind: "text",
  policy_id: "uuid",
  policy_name: "text",
  action: "text",
  outcome: "text",
  target_type: "text",
  target_id: "uuid",
  target_namespace: "text",
  target_name: "text",
  target_api_version: "text",
  target_kind: "text",
  previous_replicas: "integer",
  new_replicas: "integer",
  reason: "text",
  triggered_by: "text",
  dry_run: "boolean",
  details: "jsonb",
  executed_at: "timestamptz",
} as const satisfies Record<keyof HistoryRow, ColumnType>;

/** Entries that one statement writes. */
const BATCH = 1_000;
/** As far as entries are counted for a total: beyond, counting costs more than its answer is worth (10,000 of a million took 20 ms). */
export const COUNTED = 1_000;
/** Most entries of one target's rest. */
const MAX_RESTS = 100_000;

const isTime = (text: string): boolean => !Number.isNaN(Date.parse(text));

export class HistoryStore implements HistoryRepository {
  readonly #db: Kysely<Tables>;
  readonly #kind: DatabaseKind;
  readonly #guard: Guard;

  constructor({ db, kind, guard }: TableOptions) {
    this.#db = db;
    this.#kind = kind;
    this.#guard = guard;
  }

  async append(entries: readonly HistoryEntry[]): Promise<void> {
    for (let from = 0; from < entries.length; from += BATCH) {
      const rows = entries.slice(from, from + BATCH).map(historyRow);
      await this.#guard(() => this.#insert(rows).catch((error: unknown) => Promise.reject(refusal(error))));
    }
  }

  list(filter: HistoryFilter, page: PageRequest): Promise<Page<HistoryEntry>> {
    return this.#guard(async () => {
      const after = page.after === undefined ? undefined : keysOf(page.after, [isTime, isUuid]);
      if (!canMatch(filter)) return { items: [], total: 0, next: null };
      const limit = pageSize(page.limit);
      const matches = (eb: ExpressionBuilder<Tables, "scaling_history">) => eb.and(conditions(eb, filter, this.#kind));
      let query = this.#db
        .selectFrom("scaling_history")
        .selectAll()
        .where(matches)
        .orderBy("executed_at", "desc")
        .orderBy("id", "desc")
        .limit(limit + 1);
      if (after !== undefined) {
        query = query.where((eb) => eb(eb.refTuple("executed_at", "id"), "<", eb.tuple(after[0]!, after[1]!)));
      }
      const found = await query.execute();
      // a page that is the first and the last has counted them
      const count = after === undefined && found.length <= limit ? found.length : await this.#count(matches);
      const items = found.slice(0, limit).map(historyEntry);
      const last = items.at(-1);
      return {
        items,
        total: Math.min(count, COUNTED),
        ...(count > COUNTED ? { at_least: true as const } : {}),
        next: found.length > limit && last !== undefined ? cursorOf([last.executed_at, last.id]) : null,
      };
    });
  }

  sleepsOf(target: PolicyTarget, since: string, until: string): Promise<readonly HistoryEntry[]> {
    if (![target.namespace, target.name, target.kind ?? ""].every(isStorable)) return Promise.resolve([]);
    return this.#guard(async () => {
      const rests = this.#db
        .selectFrom("scaling_history")
        .selectAll()
        // as the index has it, word for word
        .where(sql<boolean>`${sql.raw(restCondition)}`)
        .where("target_namespace", "=", target.namespace)
        .where("target_name", "=", target.name)
        .$if(target.kind !== undefined, (query) =>
          query.where((eb) => eb.or([eb("target_kind", "is", null), eb("target_kind", "=", target.kind!)])),
        );
      const before = await rests
        .where("executed_at", "<", timeOf(since))
        .orderBy("executed_at", "desc")
        .limit(1)
        .execute();
      const within = await rests
        .where("executed_at", ">=", timeOf(since))
        .where("executed_at", "<", timeOf(until))
        .orderBy("executed_at")
        .limit(MAX_RESTS)
        .execute();
      return [...before, ...within].map(historyEntry);
    });
  }

  purge(olderThan: string, limit: number): Promise<number> {
    return this.#guard(async () => {
      const { numDeletedRows } = await this.#db
        .deleteFrom("scaling_history")
        .where("id", "in", (eb) =>
          eb
            .selectFrom("scaling_history")
            .select("id")
            .where("executed_at", "<", timeOf(olderThan))
            .orderBy("executed_at")
            .limit(Math.max(0, Math.floor(limit))),
        )
        .executeTakeFirst();
      return Number(numDeletedRows);
    });
  }

  /** How many there are, as far as they are counted. */
  async #count(matches: (eb: ExpressionBuilder<Tables, "scaling_history">) => Expression<SqlBool>): Promise<number> {
    const { count } = await this.#db
      .selectFrom((eb) =>
        eb
          .selectFrom("scaling_history")
          .select("id")
          .where(matches)
          // the newest, which are at hand: without an order PostgreSQL goes on wherever the last one who read the table has left it
          .orderBy("executed_at", "desc")
          .orderBy("id", "desc")
          .limit(COUNTED + 1)
          .as("counted"),
      )
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Entries of policies that are gone are kept without them. */
  async #insert(rows: readonly ReturnType<typeof historyRow>[]): Promise<void> {
    const names = Object.keys(columns) as (keyof typeof columns)[];
    const values = names.map((name) => (name === "policy_id" ? sql`p.id` : sql.ref(`r.${name}`)));
    const given = rowsOf(this.#kind, rows, columns);
    const ids = [...new Set(rows.flatMap(({ policy_id: id }) => (id === null ? [] : [{ policy_id: id }])))];
    const named = rowsOf(this.#kind, ids, { policy_id: "uuid" });
    // a policy must not go between the look and the write; SQLite has one writer anyhow
    const lock = this.#kind === "postgres" ? sql`for key share` : sql``;
    await sql`
      with p as (
        select id from scaling_policies where id in (select r.policy_id from ${named}) order by id ${lock}
      )
      insert into scaling_history (${sql.join(names.map((name) => sql.ref(name)))})
      select ${sql.join(values)} from ${given} left join p on p.id = r.policy_id
      where true on conflict (id) do nothing`.execute(this.#db);
  }
}

/** Whether there can be entries of it at all: what no database keeps, none has. */
function canMatch(filter: HistoryFilter): boolean {
  const { policy_id: policyId, policy_name: policyName = "", namespace = "", target_name: name = "" } = filter;
  return (policyId === undefined || isUuid(policyId)) && [policyName, namespace, name].every(isStorable);
}

/**
 * What a filter asks for. SQLite picks an index without knowing how many rows there are of each value: a plus keeps it from the
 * index of a column that says less than another one that is asked for.
 */
function conditions(eb: ExpressionBuilder<Tables, "scaling_history">, filter: HistoryFilter, database: DatabaseKind) {
  const { kind, policy_id: policyId, action, outcome, namespace, target_name: name, dry_run: dryRun } = filter;
  const ofPolicy = policyId !== undefined;
  const column = (of: keyof HistoryRow, vague: boolean) =>
    database === "sqlite" && vague ? sql<unknown>`+${sql.ref(of)}` : sql.ref<unknown>(of);
  return [
    ...(policyId === undefined ? [] : [eb("policy_id", "=", policyId.toLowerCase())]),
    ...(kind === undefined ? [] : [eb(column("kind", namespace !== undefined && !ofPolicy), "=", kind)]),
    ...(namespace === undefined ? [] : [eb(column("target_namespace", ofPolicy), "=", namespace)]),
    ...(name === undefined ? [] : [eb(column("target_name", ofPolicy), "=", name)]),
    ...(filter.namespaces === undefined
      ? []
      : [isAnyOf(database, column("target_namespace", true), filter.namespaces)]),
    ...(filter.policy_name === undefined ? [] : [eb(column("policy_name", true), "=", filter.policy_name)]),
    ...(action === undefined ? [] : [eb(column("action", true), "=", action)]),
    ...(outcome === undefined ? [] : [eb(column("outcome", true), "=", outcome)]),
    ...(dryRun === undefined ? [] : [eb(column("dry_run", true), "=", dryRun)]),
    ...(filter.since === undefined ? [] : [eb("executed_at", ">=", timeOf(filter.since))]),
    ...(filter.until === undefined ? [] : [eb("executed_at", "<", timeOf(filter.until))]),
  ];
}
