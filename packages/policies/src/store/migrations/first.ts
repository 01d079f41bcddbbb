import { type Kysely, type RawBuilder, sql } from "kysely";
import type { Migration } from "kysely/migration";
import type { DatabaseKind } from "../tables.ts";

/** Names of column types; SQLite's are those that keep a value as it is given. */
const columnTypes = {
  postgres: {
    uuid: "uuid",
    // by bytes, so that names sort alike everywhere and a page begins where the last one ended
    text: 'text collate "C"',
    int: "integer",
    bigint: "bigint",
    float: "double precision",
    flag: "boolean",
    json: "jsonb",
    time: "timestamptz",
  },
  sqlite: {
    uuid: "text",
    text: "text",
    int: "integer",
    bigint: "integer",
    float: "real",
    flag: "integer",
    json: "text",
    time: "text",
  },
} as const;

/** What makes an entry of the history one of rest: the target went to zero, or came from there. */
export const restCondition =
  "outcome = 'executed' and (action in ('sleep', 'wake') or new_replicas = 0 or previous_replicas = 0)";

/** Everything of the first release. */
export function firstMigration(kind: DatabaseKind): Migration {
  const names = columnTypes[kind];
  const type = Object.fromEntries(Object.entries(names).map(([name, text]) => [name, sql.raw(text)])) as Record<
    keyof typeof names,
    RawBuilder<unknown>
  >;
  const statements = [
    sql`create table scaling_policies (
      id ${type.uuid} primary key,
      name ${type.text} not null unique,
      description ${type.text} not null,
      target_type ${type.text} not null,
      target_id ${type.uuid},
      target_namespace ${type.text},
      target_name ${type.text},
      target_api_version ${type.text},
      target_kind ${type.text},
      min_replicas ${type.int} not null default 1 check (min_replicas >= 0),
      max_replicas ${type.int} not null default 10 check (max_replicas >= 1),
      cooldown_seconds ${type.int} not null default 300 check (cooldown_seconds >= 0),
      max_hourly_cost ${type.float} check (max_hourly_cost >= 0),
      price_per_replica_hour ${type.float} check (price_per_replica_hour > 0),
      scale_to_zero ${type.flag} not null,
      enabled ${type.flag} not null,
      shadow ${type.flag} not null,
      behavior ${type.json} not null,
      version ${type.int} not null,
      created_at ${type.time} not null,
      updated_at ${type.time} not null,
      check (min_replicas <= max_replicas)
    )`,
    sql`create index scaling_policies_enabled on scaling_policies (enabled) where enabled`,
    sql`create index scaling_policies_target_type on scaling_policies (target_type)`,
    sql`create index scaling_policies_target_id on scaling_policies (target_id) where target_id is not null`,
    sql`create index scaling_policies_target on scaling_policies (target_namespace, target_name)`,

    sql`create table scaling_rules (
      id ${type.uuid} primary key,
      policy_id ${type.uuid} not null references scaling_policies (id) on delete cascade,
      rule_type ${type.text} not null check (rule_type in ('scale_up', 'scale_down')),
      position ${type.int} not null,
      name ${type.text},
      condition ${type.json} not null,
      duration_seconds ${type.int} not null default 0 check (duration_seconds >= 0),
      scale_by ${type.int} not null,
      scale_by_percent ${type.flag} not null,
      check ((rule_type = 'scale_up' and scale_by > 0) or (rule_type = 'scale_down' and scale_by < 0))
    )`,
    sql`create index scaling_rules_policy on scaling_rules (policy_id, rule_type, position)`,

    sql`create table scaling_schedules (
      id ${type.uuid} primary key,
      policy_id ${type.uuid} not null references scaling_policies (id) on delete cascade,
      position ${type.int} not null,
      kind ${type.text} not null check (kind in ('moment', 'window')),
      name ${type.text},
      enabled ${type.flag} not null,
      timezone ${type.text} not null default 'UTC',
      cron_expression ${type.text},
      desired_replicas ${type.int} check (desired_replicas >= 0),
      window_start ${type.text},
      window_end ${type.text},
      window_duration ${type.text},
      min_replicas ${type.int} check (min_replicas >= 0),
      max_replicas ${type.int} check (max_replicas >= 0),
      check (kind = 'window' or (cron_expression is not null and desired_replicas is not null)),
      check (kind = 'moment' or window_start is not null)
    )`,
    sql`create index scaling_schedules_policy on scaling_schedules (policy_id, position)`,
    sql`create index scaling_schedules_enabled on scaling_schedules (enabled) where enabled`,

    sql`create table scaling_history (
      id ${type.uuid} primary key,
      kind ${type.text} not null check (kind in ('action', 'decision')),
      policy_id ${type.uuid} references scaling_policies (id) on delete set null,
      policy_name ${type.text} not null,
      action ${type.text} not null,
      outcome ${type.text} not null,
      target_type ${type.text} not null,
      target_id ${type.uuid},
      target_namespace ${type.text},
      target_name ${type.text},
      target_api_version ${type.text},
      target_kind ${type.text},
      previous_replicas ${type.int},
      new_replicas ${type.int},
      reason ${type.text} not null,
      triggered_by ${type.text} not null,
      dry_run ${type.flag} not null,
      details ${type.json},
      executed_at ${type.time} not null
    )`,
    sql`create index scaling_history_executed_at on scaling_history (executed_at desc, id desc)`,
    sql`create index scaling_history_kind on scaling_history (kind, executed_at desc, id desc)`,
    // the delete of a policy looks for its entries here too
    sql`create index scaling_history_policy on scaling_history (policy_id, executed_at desc, id desc)`,
    sql`create index scaling_history_policy_kind on scaling_history (policy_id, kind, executed_at desc, id desc)`,
    sql`create index scaling_history_target on scaling_history (target_namespace, target_name, executed_at desc, id desc)`,
    sql`create index scaling_history_namespace on scaling_history (target_namespace, executed_at desc, id desc)`,
    sql`create index scaling_history_target_id on scaling_history (target_type, target_id) where target_id is not null`,
    sql`create index scaling_history_dry_run on scaling_history (executed_at desc, id desc) where dry_run`,
    sql`create index scaling_history_rest on scaling_history (target_namespace, target_name, executed_at)
      where ${sql.raw(restCondition)}`,

    sql`create table scaling_state (
      policy_id ${type.uuid} primary key references scaling_policies (id) on delete cascade,
      current_replicas ${type.int},
      floor ${type.int},
      pending_conditions ${type.json} not null,
      recommendations ${type.json} not null,
      changes ${type.json} not null,
      last_scale_up_at ${type.time},
      last_scale_down_at ${type.time},
      last_scale_action ${type.text},
      schedule_marks ${type.json} not null,
      decision_mark ${type.text} not null,
      evaluated_at ${type.time},
      arbitrated ${type.text},
      intent ${type.json}
    )`,

    sql`create table scaling_revision (id ${type.int} primary key check (id = 1), value ${type.bigint} not null)`,
    sql`insert into scaling_revision (id, value) values (1, 0)`,
    // a row of its own: saving a state must not wait for the change of a policy
    sql`create table scaling_term (id ${type.int} primary key check (id = 1), value ${type.bigint} not null)`,
    sql`insert into scaling_term (id, value) values (1, 0)`,
  ];
  return {
    async up(db: Kysely<unknown>) {
      for (const statement of statements) await statement.execute(db);
    },
  };
}
