import type { ProbeResponse } from "@elasti/api";
import { RE2JS } from "re2js";

/** The head of a request as far as rules look at it; an IncomingMessage fits. Header names are in lower case. */
export interface RequestHead {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface StaticAnswer {
  readonly status: number;
  readonly body: string;
  readonly contentType: string;
  /** Value of `elasti-reason`. */
  readonly reason: string;
}

type Rule = (head: RequestHead, path: string, query: string) => boolean;
type Matches = (value: string) => boolean;

const PLAIN = "text/plain; charset=utf-8";

/**
 * The answers of `spec.probeResponse`, compiled once per object. The first rule that fits wins. A rule whose expression
 * cannot be compiled fits nothing; `problems` names it.
 */
export class StaticRules {
  readonly problems: readonly string[];
  readonly #rules: { readonly fits: Rule; readonly answer: StaticAnswer }[] = [];

  constructor(responses: readonly ProbeResponse[] | undefined) {
    const problems: string[] = [];
    for (const [index, response] of (responses ?? []).entries()) {
      try {
        this.#rules.push({
          fits: compileRule(response),
          answer: {
            status: response.response.status,
            body: response.response.body ?? "",
            contentType: response.response.contentType ?? PLAIN,
            reason: "probe-response",
          },
        });
      } catch (error) {
        problems.push(`probeResponse[${index}]: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    this.problems = problems;
  }

  match(head: RequestHead): StaticAnswer | undefined {
    if (this.#rules.length === 0) return undefined;
    const { path, query } = splitTarget(head.url ?? "/");
    return this.#rules.find((rule) => rule.fits(head, path, query))?.answer;
  }
}

/** Checks of the infrastructure, by the beginning of User-Agent. They come for ever, so they neither wake nor count. */
const healthCheckers =
  /^(?:kube-probe\/|ELB-HealthChecker\/|GoogleHC\/|Amazon-Route53-Health-Check-Service|Edge Health Probe|Load Balancer Agent|Envoy\/HC)/;
const scrapers =
  /^(?:Prometheus\/|vm_promscrape|VictoriaMetrics|Alloy\/|GrafanaAgent\/|OpenTelemetry Collector|otelcol)/;

/** A load balancer that is told "unhealthy" takes the resolver out, and with it the way to wake: so 200. */
const healthy: StaticAnswer = {
  status: 200,
  body: "asleep\n",
  contentType: PLAIN,
  reason: "health-check-while-asleep",
};
/** A scrape of a target that does not run has no truth but failure: `up` is 0 while it sleeps. */
const notScraped: StaticAnswer = {
  status: 503,
  body: "asleep: nothing to scrape\n",
  contentType: PLAIN,
  reason: "scrape-while-asleep",
};

/** What a health check or a scrape is answered while the target sleeps; undefined for any other request. */
export function checkerAnswer(head: RequestHead): StaticAnswer | undefined {
  const agent = head.headers["user-agent"];
  if (typeof agent !== "string") return undefined;
  if (healthCheckers.test(agent)) return healthy;
  return scrapers.test(agent) ? notScraped : undefined;
}

/** Path and query of a request target in origin or absolute form. */
export function splitTarget(url: string): { path: string; query: string } {
  let target = url;
  if (!url.startsWith("/")) {
    const slash = url.indexOf("/", url.indexOf("://") + 3);
    target = slash < 0 ? "/" : url.slice(slash);
  }
  const mark = target.indexOf("?");
  return mark < 0 ? { path: target, query: "" } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

function compileRule(response: ProbeResponse): Rule {
  const conditions: Rule[] = [];
  const { path, method, headers, queryParams, userAgent } = response;
  if (path !== undefined) {
    const fits = compilePath(path.type ?? "PathPrefix", path.value ?? "/");
    conditions.push((_head, actual) => fits(actual));
  }
  if (method !== undefined) conditions.push((head) => head.method === method);
  for (const { name, type, value } of headers ?? []) {
    const fits = compileValue(type ?? "Exact", value);
    const key = name.toLowerCase();
    conditions.push((head) => {
      const actual = head.headers[key];
      return actual !== undefined && fits(Array.isArray(actual) ? actual.join(", ") : actual);
    });
  }
  if (queryParams !== undefined && queryParams.length > 0) {
    const wanted = queryParams.map(({ name, type, value }) => ({ name, fits: compileValue(type ?? "Exact", value) }));
    conditions.push((_head, _path, query) => {
      const params = new URLSearchParams(query);
      return wanted.every(({ name, fits }) => {
        const actual = params.get(name);
        return actual !== null && fits(actual);
      });
    });
  }
  if (userAgent !== undefined) {
    conditions.push((head) => {
      const actual = head.headers["user-agent"];
      return typeof actual === "string" && actual.startsWith(userAgent);
    });
  }
  return (head, actualPath, query) => conditions.every((condition) => condition(head, actualPath, query));
}

function compilePath(type: "Exact" | "PathPrefix" | "RegularExpression", value: string): Matches {
  if (type !== "PathPrefix") return compileValue(type, value);
  const prefix = value.endsWith("/") ? value.slice(0, -1) : value;
  return (path) => path === prefix || (path.startsWith(prefix) && path[prefix.length] === "/");
}

function compileValue(type: "Exact" | "RegularExpression", value: string): Matches {
  if (type === "Exact") return (actual) => actual === value;
  const pattern = RE2JS.compile(value);
  return (actual) => pattern.matches(actual);
}
