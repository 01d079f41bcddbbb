import { type Kysely, sql } from "kysely";
import type { PolicyState, StateRepository } from "../contracts.ts";
import { policyErrors } from "../errors.ts";
import { type ColumnType, isUuid, rowsOf } from "./encode.ts";
import type { Guard, TableOptions } from "./policy-store.ts";
import { type StateValues, stateOf, stateRow } from "./rows.ts";
import type { DatabaseKind, Tables } from "./tables.ts";

const columns = {
  policy_id: "uuid",
  current_replicas: "integer",
  floor: "integer",
  pending_conditions: "jsonb",
  recommendations: "jsonb",
  changes: "jsonb",
  last_scale_up_at: "timestamptz",
  last_scale_down_at: "timestamptz",
  last_scale_action: "text",
  schedule_marks: "jsonb",
  decision_mark: "text",
  evaluated_at: "timestamptz",
  arbitrated: "text",
  intent: "jsonb",
} as const satisfies Record<keyof StateValues, ColumnType>;

export class StateStore implements StateRepository {
  readonly #db: Kysely<Tables>;
  readonly #kind: DatabaseKind;
  readonly #guard: Guard;

  constructor({ db, kind, guard }: TableOptions) {
    this.#db = db;
    this.#kind = kind;
    this.#guard = guard;
  }

  get(policyId: string): Promise<PolicyState | undefined> {
    if (!isUuid(policyId)) return Promise.resolve(undefined);
    return this.#guard(async () => {
      const row = await this.#db
        .selectFrom("scaling_state")
        .selectAll()
        .where("policy_id", "=", policyId.toLowerCase())
        .executeTakeFirst();
      return row === undefined ? undefined : stateOf(row);
    });
  }

  all(): Promise<readonly PolicyState[]> {
    return this.#guard(async () => (await this.#db.selectFrom("scaling_state").selectAll().execute()).map(stateOf));
  }

  begin(): Promise<number> {
    return this.#guard(async () => {
      const { value } = await this.#db
        .updateTable("scaling_term")
        .set((eb) => ({ value: eb("value", "+", 1) }))
        .returning("value")
        .executeTakeFirstOrThrow();
      return value;
    });
  }

  async save(states: readonly PolicyState[], term: number): Promise<void> {
    // the last word on a policy counts: a statement may touch a row only once
    const rows = [...new Map(states.map((state) => [state.policy_id.toLowerCase(), stateRow(state)])).values()];
    await this.#guard(() =>
      this.#db.transaction().execute(async (trx) => {
        // whoever begins a term waits until this is through
        const held = trx.selectFrom("scaling_term").select("value");
        const { value } = await (this.#kind === "postgres" ? held.forShare() : held).executeTakeFirstOrThrow();
        if (value !== term) {
          throw policyErrors.ELASTI_POLICY_SUPERSEDED(`term ${value} has begun: nothing of term ${term} is saved`);
        }
        if (rows.length > 0) await this.#upsert(rows).execute(trx);
      }),
    );
  }

  #upsert(rows: readonly StateValues[]) {
    const names = Object.keys(columns) as (keyof typeof columns)[];
    const listed = sql.join(names.map((name) => sql.ref(name)));
    const updates = sql.join(
      names.filter((name) => name !== "policy_id").map((name) => sql`${sql.ref(name)} = excluded.${sql.ref(name)}`),
    );
    // the lock keeps a policy from being deleted between the look and the write; SQLite has one writer anyhow
    const lock = this.#kind === "postgres" ? sql`for key share of p` : sql``;
    return sql`insert into scaling_state (${listed})
      select ${sql.join(names.map((name) => sql.ref(`r.${name}`)))}
      from ${rowsOf(this.#kind, rows, columns)}
      join scaling_policies p on p.id = r.policy_id
      where true order by r.policy_id ${lock}
      on conflict (policy_id) do update set ${updates}`;
  }
}
