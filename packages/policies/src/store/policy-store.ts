import { randomUUID } from "node:crypto";
import type { Clock } from "@elasti/core";
import { type ExpressionBuilder, type Kysely, sql, type Transaction } from "kysely";
import { jsonArrayFrom as postgresArray } from "kysely/helpers/postgres";
import { jsonArrayFrom as sqliteArray } from "kysely/helpers/sqlite";
import type { Page, PageRequest, PolicyFilter, PolicyRepository } from "../contracts.ts";
import { policyErrors } from "../errors.ts";
import type { Policy, PolicyDraft } from "../schema/policy.ts";
import { cursorOf, keysOf, pageSize } from "./cursor.ts";
import { isAnyOf, isOneOf, isStorable, isUuid, jsonOf } from "./encode.ts";
import { writeFault } from "./faults.ts";
import { keepIds } from "./keep-ids.ts";
import { policyOf, policyRow, ruleRow, scheduleRow } from "./rows.ts";
import type { DatabaseKind, PolicyRow, RuleRow, ScheduleRow, Tables } from "./tables.ts";

/** Runs work on the database, and turns what it throws into an error of ours. */
export type Guard = <T>(work: () => Promise<T>) => Promise<T>;

export interface TableOptions {
  readonly db: Kysely<Tables>;
  readonly kind: DatabaseKind;
  readonly clock: Clock;
  readonly guard: Guard;
}

const ruleColumns = [
  "id",
  "rule_type",
  "position",
  "name",
  "condition",
  "duration_seconds",
  "scale_by",
  "scale_by_percent",
] as const satisfies readonly (keyof RuleRow)[];
const scheduleColumns = [
  "id",
  "position",
  "kind",
  "name",
  "enabled",
  "timezone",
  "cron_expression",
  "desired_replicas",
  "window_start",
  "window_end",
  "window_duration",
  "min_replicas",
  "max_replicas",
] as const satisfies readonly (keyof ScheduleRow)[];

/** Said so that the index of what is enabled fits on both databases. */
const isEnabled = sql<boolean>`enabled`;

type Found = PolicyRow & { readonly rules: unknown; readonly schedules: unknown };

export class PolicyStore implements PolicyRepository {
  readonly #db: Kysely<Tables>;
  readonly #kind: DatabaseKind;
  readonly #clock: Clock;
  readonly #guard: Guard;

  constructor({ db, kind, clock, guard }: TableOptions) {
    this.#db = db;
    this.#kind = kind;
    this.#clock = clock;
    this.#guard = guard;
  }

  create(draft: PolicyDraft): Promise<Policy> {
    return this.#write(draft.name, async (trx) => {
      assertStorable(draft);
      const now = new Date(this.#clock.now()).toISOString();
      const policy = await this.#withFreeIds(trx, { ...draft, id: draft.id.toLowerCase() }, undefined);
      await trx
        .insertInto("scaling_policies")
        .values({ ...policyRow(policy), version: 1, created_at: now, updated_at: now })
        .execute();
      await this.#insertParts(trx, policy);
      return { ...policy, version: 1, created_at: now, updated_at: now };
    });
  }

  get(id: string): Promise<Policy | undefined> {
    if (!isUuid(id)) return Promise.resolve(undefined);
    return this.#guard(() => this.#one(this.#db, "id", id.toLowerCase()));
  }

  byName(name: string): Promise<Policy | undefined> {
    if (!isStorable(name)) return Promise.resolve(undefined);
    return this.#guard(() => this.#one(this.#db, "name", name));
  }

  list(filter: PolicyFilter, page: PageRequest): Promise<Page<Policy>> {
    return this.#guard(async () => {
      const after = page.after === undefined ? undefined : keysOf(page.after, [isStorable])[0]!;
      if (![filter.target_type, filter.namespace, filter.name].every((text) => isStorable(text ?? ""))) {
        return { items: [], total: 0, next: null };
      }
      const matches = (eb: ExpressionBuilder<Tables, "scaling_policies">) =>
        eb.and([
          ...(filter.enabled === undefined ? [] : [eb("enabled", "=", filter.enabled)]),
          ...(filter.target_type === undefined ? [] : [eb("target_type", "=", filter.target_type)]),
          ...(filter.namespace === undefined ? [] : [eb("target_namespace", "=", filter.namespace)]),
          ...(filter.namespaces === undefined
            ? []
            : [isAnyOf(this.#kind, sql.ref("target_namespace"), filter.namespaces)]),
          ...(filter.name === undefined ? [] : [eb("name", "=", filter.name)]),
        ]);
      const limit = pageSize(page.limit);
      let query = this.#select(this.#db)
        .where(matches)
        .orderBy("name")
        .limit(limit + 1);
      if (after !== undefined) query = query.where("name", ">", after);
      const found = (await query.execute()).map(assembled);
      const { count } = await this.#db
        .selectFrom("scaling_policies")
        .select((eb) => eb.fn.countAll<number>().as("count"))
        .where(matches)
        .executeTakeFirstOrThrow();
      const items = found.slice(0, limit);
      return { items, total: count, next: found.length > limit ? cursorOf([items.at(-1)!.name]) : null };
    });
  }

  namespaces(limit: number): Promise<readonly string[]> {
    return this.#guard(async () => {
      const rows = await this.#db
        .selectFrom("scaling_policies")
        .select("target_namespace")
        .distinct()
        .where("target_namespace", "is not", null)
        .orderBy("target_namespace")
        .limit(Math.max(0, Math.floor(limit)))
        .execute();
      return rows.map(({ target_namespace: namespace }) => namespace!);
    });
  }

  enabled(ids?: readonly string[]): Promise<readonly Policy[]> {
    return this.#guard(async () => {
      const rows = await this.#select(this.#db)
        .where(isEnabled)
        .$if(ids !== undefined, (query) => query.where(isOneOf(this.#kind, "id", ids ?? [])))
        .orderBy("name")
        .execute();
      return rows.map(assembled);
    });
  }

  enabledVersions(): Promise<ReadonlyMap<string, number>> {
    return this.#guard(async () => {
      const rows = await this.#db.selectFrom("scaling_policies").select(["id", "version"]).where(isEnabled).execute();
      return new Map(rows.map(({ id, version }) => [id, version]));
    });
  }

  replace(draft: PolicyDraft, version?: number): Promise<Policy> {
    return this.#write(draft.name, async (trx) => {
      assertStorable(draft);
      const before = await this.#expect(trx, draft.id, version);
      const policy = await this.#withFreeIds(trx, { ...keepIds(draft, before), id: before.id }, before.id);
      const changed = { version: before.version + 1, updated_at: new Date(this.#clock.now()).toISOString() };
      const { id, ...columns } = policyRow(policy);
      await trx
        .updateTable("scaling_policies")
        .set({ ...columns, ...changed })
        .where("id", "=", id)
        .execute();
      await trx.deleteFrom("scaling_rules").where("policy_id", "=", id).execute();
      await trx.deleteFrom("scaling_schedules").where("policy_id", "=", id).execute();
      await this.#insertParts(trx, policy);
      return { ...policy, ...changed, created_at: before.created_at };
    });
  }

  delete(id: string, version?: number): Promise<void> {
    return this.#write(id, async (trx) => {
      const before = await this.#expect(trx, id, version);
      await trx.deleteFrom("scaling_policies").where("id", "=", before.id).execute();
    });
  }

  revision(): Promise<number> {
    return this.#guard(async () => {
      const row = await this.#db.selectFrom("scaling_revision").select("value").executeTakeFirstOrThrow();
      return row.value;
    });
  }

  /** One transaction at a time, and one more revision: whoever sees the number sees the change. */
  #write<T>(name: string, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    return this.#guard(async () => {
      try {
        return await this.#db.transaction().execute(async (trx) => {
          await trx
            .updateTable("scaling_revision")
            .set((eb) => ({ value: eb("value", "+", 1) }))
            .execute();
          return await work(trx);
        });
      } catch (error) {
        throw writeFault(error, name);
      }
    });
  }

  async #expect(trx: Transaction<Tables>, id: string, version: number | undefined): Promise<Policy> {
    const before = isUuid(id) ? await this.#one(trx, "id", id.toLowerCase()) : undefined;
    if (before === undefined) throw policyErrors.ELASTI_POLICY_NOT_FOUND(`there is no policy ${id}`);
    if (version !== undefined && version !== before.version) {
      throw policyErrors.ELASTI_POLICY_CHANGED(
        `the policy has been changed meanwhile: it has version ${before.version}, not ${version}`,
      );
    }
    return before;
  }

  /** Parts that name an id which is another policy's, or is named twice, get one of their own. */
  async #withFreeIds(trx: Transaction<Tables>, draft: PolicyDraft, own: string | undefined): Promise<PolicyDraft> {
    const fresh = async <T extends { readonly id: string }>(
      table: "scaling_rules" | "scaling_schedules",
      parts: readonly T[],
    ): Promise<readonly T[]> => {
      const ids = parts.map(({ id }) => id.toLowerCase()).filter(isUuid);
      if (parts.length === 0) return parts;
      const taken = await trx
        .selectFrom(table)
        .select("id")
        .where("id", "in", [...ids, draft.id])
        .$if(own !== undefined, (query) => query.where("policy_id", "!=", own!))
        .execute();
      const used = new Set(taken.map(({ id }) => id));
      return parts.map((part) => {
        const given = part.id.toLowerCase();
        const id = !isUuid(given) || used.has(given) ? randomUUID() : given;
        used.add(id);
        return { ...part, id };
      });
    };
    const ups = draft.scale_up_rules.length;
    const rules = await fresh("scaling_rules", [...draft.scale_up_rules, ...draft.scale_down_rules]);
    const schedules = await fresh("scaling_schedules", draft.schedules);
    return { ...draft, scale_up_rules: rules.slice(0, ups), scale_down_rules: rules.slice(ups), schedules };
  }

  async #insertParts(trx: Transaction<Tables>, policy: PolicyDraft): Promise<void> {
    const rules = [
      ...policy.scale_up_rules.map((rule, position) => ruleRow(rule, "scale_up", position)),
      ...policy.scale_down_rules.map((rule, position) => ruleRow(rule, "scale_down", position)),
    ].map((row) => ({ ...row, policy_id: policy.id }));
    const schedules = policy.schedules.map((schedule, position) => ({
      ...scheduleRow(schedule, position),
      policy_id: policy.id,
    }));
    if (rules.length > 0) await trx.insertInto("scaling_rules").values(rules).execute();
    if (schedules.length > 0) await trx.insertInto("scaling_schedules").values(schedules).execute();
  }

  async #one(db: Kysely<Tables>, column: "id" | "name", value: string): Promise<Policy | undefined> {
    const row = await this.#select(db).where(column, "=", value).executeTakeFirst();
    return row === undefined ? undefined : assembled(row);
  }

  /** Policies with their parts by one statement, so that nobody sees a policy of one version with rules of another. */
  #select(db: Kysely<Tables>) {
    const arrayFrom = (this.#kind === "postgres" ? postgresArray : sqliteArray) as typeof postgresArray;
    return db
      .selectFrom("scaling_policies")
      .selectAll()
      .select((eb) => [
        arrayFrom(
          eb
            .selectFrom("scaling_rules")
            .select(ruleColumns)
            .whereRef("scaling_rules.policy_id", "=", "scaling_policies.id")
            .orderBy("rule_type")
            .orderBy("position"),
        ).as("rules"),
        arrayFrom(
          eb
            .selectFrom("scaling_schedules")
            .select(scheduleColumns)
            .whereRef("scaling_schedules.policy_id", "=", "scaling_policies.id")
            .orderBy("position"),
        ).as("schedules"),
      ]);
  }
}

function assembled(row: Found): Policy {
  return policyOf(
    row,
    // the drivers give JSON as text
    JSON.parse(String(row.rules)) as Omit<RuleRow, "policy_id">[],
    JSON.parse(String(row.schedules)) as Omit<ScheduleRow, "policy_id">[],
  );
}

function assertStorable(draft: PolicyDraft): void {
  if (jsonOf(draft) === JSON.stringify(draft)) return;
  throw policyErrors.ELASTI_POLICY_INVALID("its texts may hold neither NUL nor halves of surrogate pairs");
}
