/**
 * `npm run bench:policies -- [--policies 5000] [--interval 30] [--intervals 3] [--history 1000000] [--reads 10] [--cpu-prof dir]
 * [--json]`: what the policy engine costs. docs/benchmarks.md says what the figures mean.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { silentLogger } from "@elasti/core";
import { startPostgres, startPrometheus } from "@elasti/local";
import { normalizePolicy, openStore, type Store, TargetTypes } from "@elasti/policies";
import { count, percentile, rounded, tell } from "./figures.ts";
import { Child } from "./policies/child.ts";
import type { ClusterAnswer, ClusterReady } from "./policies/cluster.ts";
import type { EngineAnswer, EngineOptions, EngineReady } from "./policies/engine.ts";
import { distinctQueries, type Load, PARTS, policyName, policyOf } from "./policies/load.ts";
import { ask, fillPostgres, fillSqlite, postgresProblems, sqliteProblems } from "./policies/plans.ts";
import { Reader, type Reads } from "./policies/reads.ts";
import { cpuMs, residentMib } from "./process-figures.ts";

const { values } = parseArgs({
  options: {
    policies: { type: "string", default: "5000" },
    interval: { type: "string", default: "30" },
    intervals: { type: "string", default: "3" },
    history: { type: "string", default: "1000000" },
    reads: { type: "string", default: "10" },
    "cpu-prof": { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const policies = PARTS * Math.ceil(count("policies", values.policies) / PARTS);
const intervalMs = 1_000 * count("interval", values.interval);
const intervals = count("intervals", values.intervals);
const historyRows = count("history", values.history);
const perSecond = count("reads", values.reads);
const load: Load = { policies, intervalMs };
const TOKEN = "bench";
/** Rounds before the measurement: states are new in the first, and code is compiled. */
const WARM_ROUNDS = 2;
const WARM_WITHIN_ROUNDS = 20;
/** From so many rows on, PostgreSQL has a reason not to read a table as a whole. */
const MANY_ROWS = 2_000;
const POLICIES_IN_FILE = 50;

interface Figures {
  readonly policies: number;
  readonly distinctQueries: number;
  /** Per interval. */
  readonly queriesSent: number;
  readonly evaluations: number;
  /** Evaluations that were not done in time. */
  readonly late: number;
  readonly cpuPct: number;
  readonly intervalWorkMs: number;
  readonly rssMiB: number;
  readonly reads: Reads;
}

const problems: string[] = [];
const openPostgres = await startPostgres({ settings: { shared_buffers: "256MB", max_wal_size: "4GB" } });
const directory = mkdtempSync(join(tmpdir(), "elasti-bench-policies-"));
const closing: (() => Promise<void> | void)[] = [
  () => openPostgres.close(),
  () => rmSync(directory, { recursive: true, force: true }),
];
try {
  const databaseUrl = openPostgres.url();
  const cluster = await Child.start<ClusterReady, ClusterAnswer>("cluster.ts", load);
  closing.push(() => cluster.close());
  tell(`${policies} Deployments`);
  const prometheus = await startPrometheus({
    scrapeTargets: [{ job: "bench", addresses: [cluster.ready.exporter] }],
    scrapeIntervalMs: Math.max(3_000, Math.round(intervalMs / 6)),
  });
  closing.push(() => prometheus.close());

  const store = await openStore({ url: databaseUrl, logger: silentLogger });
  const ids = await create(store, policies);
  await store.close();
  tell(`${policies} policies with ${3 * policies} rules`);
  await fillPostgres(databaseUrl, historyRows);
  const file = join(directory, "policies.db");
  const small = await openStore({ file, logger: silentLogger });
  const [inFile = ""] = (await create(small, Math.min(policies, POLICIES_IN_FILE))).values();
  await small.close();
  fillSqlite(file, historyRows);
  tell(`${historyRows} entries of history, on PostgreSQL and on SQLite`);
  problems.push(...(await sqliteProblems(file, { policy: inFile, historyOnly: false })).map((one) => `SQLite: ${one}`));
  while ((await seriesIn(prometheus.url)) < distinctQueries(load)) await pause(500);

  const began = new Date().toISOString();
  const options = { databaseUrl, prometheusUrl: prometheus.url, intervalMs, token: TOKEN };
  const api = { apiUrl: cluster.ready.apiUrl, apiToken: cluster.ready.token };
  const measured: Figures[] = [];
  for (const enabled of [policies / PARTS, policies]) {
    await ask(databaseUrl, `update scaling_policies set enabled = name < '${policyName(enabled)}'`);
    measured.push(await measure({ ...options, ...api }, enabled, ids));
  }
  const [few, all] = measured as [Figures, Figures];
  const [executed] = await ask(
    databaseUrl,
    `select count(*)::int as count from scaling_history
     where kind = 'action' and outcome = 'executed' and executed_at >= '${began}'`,
  );
  const { changes } = await cluster.ask();
  tell(`${changes} changes of Deployments, ${String(executed?.count)} of them in history`);
  if (changes === 0 || changes !== executed?.count)
    problems.push(`${changes} changes of Deployments, and ${String(executed?.count)} in history`);
  const [policy = ""] = ids.values();
  const historyOnly = policies < MANY_ROWS;
  problems.push(...(await postgresProblems(databaseUrl, { policy, historyOnly })).map((one) => `PostgreSQL: ${one}`));

  for (const problem of problems) tell(`wrong: ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
  if (values.json) console.log(JSON.stringify(line(few, all, changes)));
} finally {
  for (const close of closing.reverse()) await close();
}

function line(few: Figures, all: Figures, changes: number): object {
  const { distinctQueries: distinct, queriesSent, cpuPct, intervalWorkMs, reads } = all;
  return {
    ...{ policies, rules: 3 * policies, distinctQueries: distinct, queriesSent, cpuPct, intervalWorkMs },
    apiReadMsP99: rounded(percentile(reads.ms, 0.99)),
    ...{ apiReadMsP50: rounded(percentile(reads.ms, 0.5)), reads: reads.ms.length, refused: reads.refused },
    ...{ evaluations: all.evaluations, late: all.late, rssMiB: all.rssMiB, changes },
    fewer: { policies: few.policies, cpuPct: few.cpuPct, intervalWorkMs: few.intervalWorkMs },
    cpuRatio: rounded(cpuPct / few.cpuPct),
    wrong: problems.length,
  };
}

/** @returns ids by name, in order of names */
async function create(store: Store, many: number): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  for (let index = 0; index < many; index += 1) {
    const normalized = normalizePolicy(policyOf(load, index), {
      targetTypes: TargetTypes.parse().references,
      catalogue: [],
    });
    if (normalized.errors !== undefined) throw new Error(JSON.stringify(normalized.errors));
    const { id, name } = await store.policies.create(normalized.draft);
    ids.set(name, id);
  }
  return ids;
}

/** Runs the engine over the policies that are enabled, and measures it once it has looked at all of them twice. */
async function measure(options: EngineOptions, enabled: number, ids: ReadonlyMap<string, string>): Promise<Figures> {
  const profile = values["cpu-prof"];
  const execArgv = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
  const engine = await Child.start<EngineReady, EngineAnswer>("engine.ts", options, execArgv);
  const reader = new Reader({ ...{ url: engine.ready.url, token: TOKEN, ids, policies: enabled, perSecond } });
  try {
    const until = performance.now() + WARM_WITHIN_ROUNDS * intervalMs;
    while ((await engine.ask()).evaluations < WARM_ROUNDS * enabled) {
      if (performance.now() > until)
        throw new Error(`the engine has not come round: ${JSON.stringify(await engine.ask())}`);
      await pause(intervalMs / 10);
    }
    reader.take();
    const [before, queries, cpu, began] = [
      await engine.ask(),
      await queriesOn(options.prometheusUrl),
      cpuMs(engine.pid),
      performance.now(),
    ];
    await pause(intervals * intervalMs);
    const lasted = performance.now() - began;
    const used = cpuMs(engine.pid) - cpu;
    const sent = (await queriesOn(options.prometheusUrl)) - queries;
    const after = await engine.ask();
    const rounds = lasted / intervalMs;
    const reads = reader.take();
    // parts share no query
    const distinct = (distinctQueries(load) * enabled) / policies;
    const figures: Figures = {
      ...{ policies: enabled, distinctQueries: distinct, reads },
      queriesSent: Math.round(sent / rounds),
      evaluations: Math.round((after.evaluations - before.evaluations) / rounds),
      late: after.late - before.late,
      cpuPct: Math.round((10_000 * used) / lasted) / 100,
      intervalWorkMs: Math.round((after.busyMs - before.busyMs) / rounds),
      rssMiB: Math.round(residentMib(engine.pid)),
    };
    check(figures, after);
    const { reads: _, ...shown } = figures;
    tell(`${JSON.stringify(shown)}, reads p99 ${String(rounded(percentile(reads.ms, 0.99)))} ms`);
    return figures;
  } finally {
    await reader.close();
    await engine.close();
  }
}

function check(figures: Figures, { failed, unknown, state }: EngineAnswer): void {
  const { policies: enabled, queriesSent, distinctQueries: distinct, reads } = figures;
  const wrong = (text: string) => problems.push(`${enabled} policies: ${text}`);
  if (state !== "running") wrong(`the engine is ${state}`);
  if (failed > 0) wrong(`${failed} evaluations failed`);
  if (unknown > 0) wrong(`${unknown} metrics were not known`);
  // the window begins and ends within a round, and may have some seconds of it twice, or not at all
  const edge = 2_000 / (intervals * intervalMs);
  if (queriesSent > (1.05 + edge) * distinct)
    wrong(`${queriesSent} queries per interval for ${distinct} different ones`);
  for (const one of new Set(reads.wrong.slice(0, 5))) wrong(one);
}

/** Instant queries that a Prometheus has answered since its start, by its own count. */
async function queriesOn(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const counts = text.matchAll(/^prometheus_http_requests_total\{[^}]*handler="\/api\/v1\/query"[^}]*\} (\S+)$/gm);
  return [...counts].reduce((sum, [, value]) => sum + Number(value), 0);
}

async function seriesIn(url: string): Promise<number> {
  const answer = await fetch(`${url}/api/v1/query?query=${encodeURIComponent("count(bench_load)")}`);
  const { data } = (await answer.json()) as { data: { result: { value: [number, string] }[] } };
  return Number(data.result[0]?.value[1] ?? 0);
}
