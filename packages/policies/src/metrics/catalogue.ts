import { Type } from "typebox";
import { sqlProblem } from "../domain/one-select.ts";
import { policyErrors } from "../errors.ts";
import {
  type Metric,
  type PolicyTarget,
  PrometheusMetricSchema,
  ResourceMetricSchema,
  SqlMetricSchema,
  TrafficMetricSchema,
} from "../schema/policy.ts";
import { type FieldProblem, schemaProblems } from "../schema/problems.ts";
import type { SqlMetric } from "./sql-source.ts";
import { fillPromql, fillSql, promqlTemplateProblems, sqlTemplateProblems } from "./template.ts";

/** A metric that is said in full. */
export type FullMetric = Exclude<Metric, string>;
/** A metric as it is asked. */
export type AskedMetric = Exclude<FullMetric, { source: "sql" }> | ({ readonly source: "sql" } & SqlMetric);

/** A metric of the catalogue: as in a policy, its query with `${namespace}` and `${name}` of the target. */
export const CatalogueEntrySchema = Type.Union([
  PrometheusMetricSchema,
  ResourceMetricSchema,
  SqlMetricSchema,
  TrafficMetricSchema,
]);

const MAX_ENTRIES = 1_000;
const LISTED = 50;
const namePattern = /^[A-Za-z0-9]([A-Za-z0-9_.:-]{0,251}[A-Za-z0-9])?$/;

/** The configured metrics by their names. */
export class Catalogue {
  readonly #entries: ReadonlyMap<string, FullMetric>;

  private constructor(entries: ReadonlyMap<string, FullMetric>) {
    this.#entries = entries;
  }

  /**
   * @param configured metrics by their names
   * @throws ELASTI_POLICY_SETTINGS with `details.errors: {field, message}[]`, all problems at once
   */
  static parse(configured: unknown = {}, field = "ELASTI_SCALING_METRICS"): Catalogue {
    const problems: FieldProblem[] = [];
    const entries = new Map<string, FullMetric>();
    if (typeof configured !== "object" || configured === null || Array.isArray(configured)) {
      problems.push({ field, message: "must be an object: metrics by their names" });
    } else {
      const given = Object.entries(configured);
      if (given.length > MAX_ENTRIES) {
        problems.push({ field, message: `has ${given.length} metrics: expected at most ${MAX_ENTRIES}` });
      }
      for (const [name, value] of given.slice(0, MAX_ENTRIES)) {
        const where = `${field}.${name}`;
        if (!namePattern.test(name)) {
          problems.push({ field: where, message: "is no name: expected letters, digits, _, ., : and -" });
        }
        const found = problemsOf(value, where);
        problems.push(...found);
        if (found.length === 0) entries.set(name, value as FullMetric);
      }
    }
    if (problems.length === 0) return new Catalogue(entries);
    throw policyErrors.ELASTI_POLICY_SETTINGS(problems.map((one) => `${one.field} ${one.message}`).join("; "), {
      details: { errors: problems },
    });
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()].sort();
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** What to tell who names a metric that is not here. */
  unknown(name: string): string {
    const { names } = this;
    const more = names.length > LISTED ? `, and ${names.length - LISTED} more` : "";
    const known = names.length === 0 ? "it is empty" : `expected ${names.slice(0, LISTED).join(", ")}${more}`;
    return `metric ${JSON.stringify(name)} is not in the catalogue: ${known}`;
  }

  /** A metric with its target in it; undefined for a name that is not here. A metric said in full is asked as it is. */
  resolve(metric: Metric, target: PolicyTarget): AskedMetric | undefined {
    if (typeof metric !== "string") return metric;
    const entry = this.#entries.get(metric);
    switch (entry?.source) {
      case "prometheus":
        return { ...entry, query: fillPromql(entry.query, target) };
      case "sql":
        return { ...entry, ...fillSql(entry.query, target) };
      default:
        return entry;
    }
  }
}

function problemsOf(value: unknown, field: string): FieldProblem[] {
  const problems = schemaProblems(CatalogueEntrySchema, value, field);
  if (problems.length > 0) return problems;
  const metric = value as FullMetric;
  const wrong =
    metric.source === "prometheus"
      ? promqlTemplateProblems(metric.query)
      : metric.source === "sql"
        ? [sqlProblem(metric.query) ?? [], sqlTemplateProblems(metric.query)].flat()
        : [];
  return wrong.map((message) => ({ field: `${field}.query`, message }));
}
