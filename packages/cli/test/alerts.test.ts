import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { findProgram } from "@elasti/local";
import { parse } from "yaml";

const root = join(import.meta.dirname, "..", "..", "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const rulesFile = join(root, "deploy/helm/elasti/files/alerts.yaml");

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly { readonly expr: string; readonly refId: string; readonly datasource: { uid: string } }[];
}

const { groups } = parse(readFileSync(rulesFile, "utf8")) as { groups: readonly { readonly rules: readonly Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(read("deploy/helm/elasti/files/dashboard.json")) as { panels: readonly Panel[] };
const metricsPage = read("docs/reference/metrics.md");

/** Metrics that an expression names and that the reference does not list. */
function unknownMetrics(expr: string): string[] {
  const names = [...expr.matchAll(/\b(elasti_\w+?)(?:_bucket|_sum|_count)?\b(?=[{\s()[]|$)/g)].map(
    (match) => match[1]!,
  );
  return names.filter((name) => !metricsPage.includes(`\`${name}\``));
}

describe("the alerts", () => {
  it("are eight at most, each with a severity, words, and a runbook that exists", () => {
    assert.ok(rules.length > 0 && rules.length <= 8);
    const headings = [...read("docs/alerts.md").matchAll(/^## (Elasti\w+)$/gm)].map((match) => match[1]!);
    assert.deepEqual(
      headings,
      rules.map(({ alert }) => alert),
    );
    for (const { alert, labels, annotations } of rules) {
      assert.match(labels.severity ?? "", /^(critical|warning)$/, alert);
      assert.ok((annotations.summary ?? "").length > 10 && (annotations.description ?? "").length > 40, alert);
      assert.equal(annotations.runbook_url, `docs/alerts.md#${alert.toLowerCase()}`);
    }
  });

  it("ask for metrics that there are", () => {
    assert.deepEqual(unknownMetrics("rate(elasti_nonsense_bucket[5m])"), ["elasti_nonsense"]);
    assert.deepEqual(
      rules.flatMap(({ expr }) => unknownMetrics(expr)),
      [],
    );
  });
});

describe("the dashboard", () => {
  const panels = dashboard.panels.filter(({ type }) => type !== "row");

  it("asks for metrics that there are, of the data source that is chosen, in the namespaces that are chosen", () => {
    for (const { title, datasource, targets = [] } of panels) {
      assert.ok(targets.length > 0, title);
      assert.equal(datasource?.uid, "$" + "{datasource}", title);
      for (const target of targets) {
        assert.deepEqual(unknownMetrics(target.expr), [], title);
        assert.equal(target.datasource.uid, datasource?.uid, title);
        const selectors = [...target.expr.matchAll(/(?:elasti|process|nodejs)_\w+(\{[^}]*\})?/g)];
        assert.ok(
          selectors.every(([, selector = ""]) => selector.includes('namespace=~"$namespace"')),
          title,
        );
      }
      assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    }
  });

  it("has a place, a title and a description for every panel", () => {
    assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(x < 24 && !taken.has(`${x} ${y}`), `${title} lies over another panel`);
          taken.add(`${x} ${y}`);
        }
    }
    for (const { title, description = "" } of panels) assert.ok(title.length >= 3 && description.length > 8, title);
  });
});

/** Series in promtool's notation, one value a minute (`1x10` are eleven of them): what fires when, in minutes. */
interface TimesCase {
  readonly what: string;
  readonly alert: string;
  readonly series: Readonly<Record<string, string>>;
  readonly firing: readonly number[];
  readonly quiet: readonly number[];
}

const where = 'namespace="elasti"';
const leader = (pod: string) => `elasti_leader{${where}, pod="${pod}"}`;
const resolver = (metric: string, pod: string) => `elasti_resolver_${metric}{${where}, pod="${pod}"}`;
const refused = resolver("rejected_total", "r1").replace("}", ', reason="ELASTI_GATE_FULL"}');
const queries = (result: string) => `elasti_trigger_queries_total{${where}, pod="o1", result="${result}"}`;
const undone = (cause: string) => `elasti_sleeps_undone_total{${where}, pod="o1", cause="${cause}"}`;

const cases: readonly TimesCase[] = [
  {
    what: "another replica takes over within two minutes",
    alert: "ElastiNoLeader",
    series: { [leader("o1")]: "1x10 0x40", [leader("o2")]: "0x12 1x38" },
    firing: [],
    quiet: [11, 12, 13, 20],
  },
  {
    what: "no replica leads for a while",
    alert: "ElastiNoLeader",
    series: { [leader("o1")]: "1x10 0x20 1x10", [leader("o2")]: "0x40" },
    firing: [17, 30],
    quiet: [10, 15, 32],
  },
  {
    what: "all replicas go away for a while",
    alert: "ElastiNoLeader",
    series: { [leader("o1")]: "1x10 stale _x20 1x10" },
    firing: [17, 30],
    quiet: [10, 14, 33],
  },
  {
    what: "resolvers are replaced one by one",
    alert: "ElastiNoResolver",
    series: { [resolver("holds_max", "r1")]: "20000x10 stale", [resolver("holds_max", "r2")]: "_x10 20000x20" },
    firing: [],
    quiet: [10, 11, 14, 20],
  },
  {
    what: "all resolvers go away for a while",
    alert: "ElastiNoResolver",
    series: { [resolver("holds_max", "r1")]: "20000x10 stale _x10 20000x10" },
    firing: [15, 20],
    quiet: [10, 13, 23],
  },
  {
    what: "one request is refused",
    alert: "ElastiRequestsRefused",
    series: { [refused]: "0x10 1x30" },
    firing: [11, 19],
    quiet: [10, 21],
  },
  {
    what: "a burst fills a resolver for a minute, then something fills it for longer",
    alert: "ElastiHoldsNearLimit",
    series: {
      [resolver("holds", "r1")]: "0x5 19000x1 0x5 17000x10 0x10",
      [resolver("holds_max", "r1")]: "20000x60",
    },
    firing: [17, 24],
    quiet: [6, 7, 13, 26],
  },
  {
    what: "one of two resolvers has no session with the leader for a while",
    alert: "ElastiResolverSilent",
    series: {
      [leader("o1")]: "1x60",
      [leader("o2")]: "0x60",
      [`elasti_sessions{${where}, pod="o1"}`]: "2x10 1x20 2x20",
      [`elasti_sessions{${where}, pod="o2"}`]: "2x60",
      [resolver("holds_max", "r1")]: "20000x60",
      [resolver("holds_max", "r2")]: "20000x60",
    },
    firing: [17, 30],
    quiet: [10, 14, 33],
  },
  {
    what: "one trigger that is asked every 30 s, a health query with it, finds its server dead for a while",
    alert: "ElastiTriggersFail",
    series: { [queries("PrometheusUnreachable")]: "0x10 4+4x30 124x20", [queries("value")]: "0+100x60" },
    firing: [24, 40],
    quiet: [10, 20, 48],
  },
  {
    what: "Prometheus is restarted while a hundred triggers are asked",
    alert: "ElastiTriggersFail",
    series: { [queries("PrometheusUnreachable")]: "0x10 400x50", [queries("value")]: "0+400x60" },
    firing: [],
    quiet: [12, 16, 21, 25],
  },
  {
    what: "answers are empty, as of an application that sleeps",
    alert: "ElastiTriggersFail",
    series: { [queries("empty")]: "0+100x60" },
    firing: [],
    quiet: [20, 40, 59],
  },
  {
    what: "one service tries to sleep every eleven minutes and never succeeds",
    alert: "ElastiSleepsUndone",
    series: { [undone("routing")]: "0x10 1x10 2x10 3x10 4x10 5x10 6x10 7x10 8x10" },
    firing: [40, 60, 80],
    quiet: [10, 20],
  },
  {
    what: "sleeps are given up for requests, and twice for want of a resolver",
    alert: "ElastiSleepsUndone",
    series: { [undone("activity")]: "0+5x90", [undone("seal")]: "0x20 2x70" },
    firing: [],
    quiet: [10, 25, 60, 85],
  },
  {
    what: "a pass fails now and then, later one fails for longer",
    alert: "ElastiReconcilesFail",
    series: { [`elasti_reconcile_failing{${where}, pod="o1"}`]: "0x5 3x4 0x10 1x20 0x10" },
    firing: [33, 42],
    quiet: [9, 15, 22, 44],
  },
];

const promtool = findProgram("promtool", process.env.PATH);
const missing =
  promtool === undefined && process.env.CI !== "true" ? "missing program: promtool (Debian package prometheus)" : false;

describe("the alerts at their own times, by promtool", { skip: missing }, () => {
  const folder = mkdtempSync(join(tmpdir(), "elasti-alerts-"));
  after(() => rmSync(folder, { recursive: true, force: true }));

  function run(...args: string[]): void {
    const { status, stdout, stderr } = spawnSync(promtool ?? "promtool", args, { encoding: "utf8" });
    assert.equal(status, 0, `${stdout}${stderr}`);
  }

  it("are rules that Prometheus takes", () => run("check", "rules", rulesFile));

  for (const { what, alert, series, firing, quiet } of cases) {
    it(`${alert}: ${what}`, () => {
      const expr = `count(ALERTS{alertname="${alert}", alertstate="firing"})`;
      const expectation = (minutes: number, count: number) => ({
        expr,
        eval_time: `${minutes}m`,
        exp_samples: count === 0 ? [] : [{ labels: "{}", value: count }],
      });
      const file = join(folder, "case.json");
      const test = {
        interval: "1m",
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        promql_expr_test: [...firing.map((at) => expectation(at, 1)), ...quiet.map((at) => expectation(at, 0))],
      };
      writeFileSync(file, JSON.stringify({ rule_files: [rulesFile], evaluation_interval: "1m", tests: [test] }));
      run("test", "rules", file);
    });
  }
});
