import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type PrometheusProcess, startPrometheus } from "@elasti/local";
import { parse, stringify } from "yaml";
import { request } from "../e2e/client.ts";
import { OPERATOR, RESOLVER, type World } from "../e2e/world.ts";

const repository = join(import.meta.dirname, "..", "..");
const shipped = join(repository, "deploy", "helm", "elasti", "files");

export interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

/** One metric as docs/reference/metrics.md has it. */
interface ListedMetric {
  readonly of: "resolver" | "operator" | "both";
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
}

/** The metrics that docs/reference/metrics.md lists. */
export function metricsReference(): ListedMetric[] {
  const [, ...sections] = readFileSync(join(repository, "docs", "reference", "metrics.md"), "utf8").split(/^## /m);
  return sections.flatMap((section) => {
    const of = section.split("\n")[0]!.toLowerCase() as ListedMetric["of"];
    return [...section.matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]*)\|/gm)].map(
      ([, name = "", type = "", labels = ""]) => ({
        of,
        name,
        type,
        labels: [...labels.matchAll(/\w+/g)].map(([label]) => label),
      }),
    );
  });
}

const ruleFile = parse(readFileSync(join(shipped, "alerts.yaml"), "utf8")) as RuleFile;

/** The alerts that are shipped. */
export const rules: readonly Rule[] = ruleFile.groups.flatMap((group) => group.rules);

/** How much faster time passes for rules under test: what has to last (`for`), and what is looked back over (ranges). */
export const faster = { lasting: 60, lookback: 360 } as const;
/** Processes render their metrics once a second: in a shorter range nothing would be seen to rise. */
const shortestLookbackMs = 5_000;

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };
const durationMs = (text: string): number => {
  const [, count = "", unit = ""] = /^(\d+)([smh])$/.exec(text) ?? [];
  const ms = Number(count) * (unitMs[unit] ?? Number.NaN);
  if (Number.isNaN(ms)) throw new Error(`not a duration of one unit: ${text}`);
  return ms;
};

/** The rules as they are shipped but for their times. */
function fasterRules(): string {
  const quick = (rule: Rule): Rule => ({
    ...rule,
    expr: rule.expr.replaceAll(
      /\[(\w+)\]/g,
      (_, range: string) => `[${Math.max(shortestLookbackMs, durationMs(range) / faster.lookback)}ms]`,
    ),
    ...(rule.for === undefined ? {} : { for: `${durationMs(rule.for) / faster.lasting}ms` }),
  });
  return stringify({ groups: ruleFile.groups.map((group) => ({ ...group, rules: group.rules.map(quick) })) });
}

/** An expression of the dashboard, with its variables filled in. */
export interface PanelExpression {
  readonly panel: string;
  readonly expr: string;
}

interface Panel {
  readonly title: string;
  readonly panels?: readonly Panel[];
  readonly targets?: readonly { readonly expr: string }[];
}

/** Every expression of every panel that is shipped. */
export function panelExpressions(): PanelExpression[] {
  const dashboard = JSON.parse(readFileSync(join(shipped, "dashboard.json"), "utf8")) as { panels: readonly Panel[] };
  const flat = (panels: readonly Panel[]): Panel[] => panels.flatMap((panel) => [panel, ...flat(panel.panels ?? [])]);
  return flat(dashboard.panels).flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      panel: title,
      expr: expr.replaceAll("$namespace", ".*").replaceAll("$__rate_interval", "1m"),
    })),
  );
}

export interface Alert {
  readonly name: string;
  readonly state: "pending" | "firing";
  readonly labels: Readonly<Record<string, string>>;
  readonly summary: string;
}

/** A real Prometheus that scrapes the pods of a world as a PodMonitor has it done, and evaluates the shipped alerts, faster. */
export class Monitoring {
  readonly #prometheus: PrometheusProcess;
  readonly #world: World;
  #since = 0;

  private constructor(prometheus: PrometheusProcess, world: World) {
    this.#prometheus = prometheus;
    this.#world = world;
  }

  static async start(world: World): Promise<Monitoring> {
    const pods = (await Promise.all([OPERATOR, RESOLVER].map((component) => world.pods(component)))).flat();
    const prometheus = await startPrometheus({
      scrapeIntervalMs: 500,
      rules: fasterRules(),
      scrapeConfigs: [
        {
          job_name: `${world.system}/elasti`,
          static_configs: pods.map(({ metadata, status }) => ({
            targets: [`${status?.podIP}:8013`],
            labels: { namespace: world.system, pod: metadata.name },
          })),
        },
      ],
    });
    const monitoring = new Monitoring(prometheus, world);
    // it evaluates rules before it has found its targets: with times like these nobody leads, long enough to fire
    while ((await monitoring.query('up{pod!=""} == 1')).length < pods.length) await pause(200);
    while ((await monitoring.alerts()).length > 0) await pause(200);
    monitoring.#since = performance.now();
    return monitoring;
  }

  /** The value of each series of the answer. @throws when the expression cannot be evaluated */
  async query(expr: string): Promise<{ labels: Record<string, string>; value: number }[]> {
    const answer = JSON.parse(await this.#get(`/api/v1/query?query=${encodeURIComponent(expr)}`)) as {
      status: string;
      error?: string;
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    if (answer.status !== "success") throw new Error(`${expr}: ${answer.error}`);
    return answer.data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  }

  /** The alerts of Elasti that are pending or firing now. */
  async alerts(): Promise<Alert[]> {
    const { data } = JSON.parse(await this.#get("/api/v1/alerts")) as {
      data: {
        alerts: { labels: Record<string, string>; annotations: Record<string, string>; state: Alert["state"] }[];
      };
    };
    return data.alerts.map(({ labels, annotations, state }) => {
      const { alertname: name = "", ...others } = labels;
      return { name, state, labels: others, summary: annotations.summary ?? "" };
    });
  }

  /** Names of the alerts that have fired since it was started. */
  async fired(): Promise<string[]> {
    const elapsedMs = Math.round(performance.now() - this.#since);
    const found = await this.query(`count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[${elapsedMs}ms]))`);
    return found.map(({ labels }) => labels.alertname ?? "").sort();
  }

  /** Resolves once the alert with these labels fires, or no longer does. */
  async until(name: string, state: "fires" | "clears", labels: Readonly<Record<string, string>> = {}): Promise<void> {
    let seen: Alert[] = [];
    for (const end = Date.now() + 60_000; Date.now() < end; await pause(200)) {
      seen = await this.alerts();
      const fits = (alert: Alert) =>
        alert.name === name && Object.entries(labels).every(([key, value]) => alert.labels[key] === value);
      if (seen.some((alert) => fits(alert) && alert.state === "firing") === (state === "fires")) return;
    }
    throw new Error(`${name} not seen: ${state}; alerts ${JSON.stringify(seen)}`);
  }

  /** The metrics of one pod of each component, as Prometheus gets them. */
  async pages(): Promise<Record<"operator" | "resolver", string>> {
    const page = async (component: string) => {
      const [pod] = await this.#world.pods(component);
      return (await request({ host: pod?.status?.podIP ?? "", port: 8013, path: "/metrics" })).text;
    };
    return { operator: await page(OPERATOR), resolver: await page(RESOLVER) };
  }

  close(): Promise<void> {
    return this.#prometheus.close();
  }

  async #get(path: string): Promise<string> {
    const { hostname: host, port } = new URL(this.#prometheus.url);
    return (await request({ host, port: Number(port), path })).text;
  }
}
