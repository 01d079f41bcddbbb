import { type ConfigOf, http, setting } from "@elasti/core";

/** Settings of the operator that concern Prometheus triggers. */
export const prometheusSettings = {
  defaultServer: setting.text({
    env: "PROMETHEUS_TRIGGER_SERVER_ADDRESS",
    fallback: "",
    description: "Prometheus server of triggers that name none.",
    pattern: /^$|^https?:\/\/[^/?#]+/,
    expected: "an address such as http://prometheus.monitoring:9090",
  }),
  defaultAuthorization: setting.text({
    env: "PROMETHEUS_TRIGGER_AUTHORIZATION_HEADER",
    fallback: "",
    secret: true,
    description: "Authorization header for that server; it is sent to no other.",
  }),
  allowedServers: setting.list({
    env: "ELASTI_PROMETHEUS_ALLOWED_SERVERS",
    fallback: "*",
    description:
      "Servers that triggers may name beside the default one: host, host:port, *.suffix, or * for any but loopback and link-local addresses.",
  }),
};
export type PrometheusSettings = ConfigOf<typeof prometheusSettings>;

/** A Prometheus trigger, understood. */
export interface PrometheusTrigger {
  readonly server: string;
  readonly query: string;
  readonly threshold: number;
  /** Label matchers of the series `up` that say whether Prometheus itself has watched. */
  readonly uptimeFilter: string;
  /** The filter was left out. */
  readonly uptimeFilterIsDefault: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

const DEFAULT_UPTIME_FILTER = 'container="prometheus"';
const DEFAULT_TIMEOUT_SECONDS = 30;
const MAX_TIMEOUT_SECONDS = 300;
const MAX_QUERY_CHARACTERS = 16_384;
const MAX_HEADERS = 32;
const numberText = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;
/** Headers that belong to the connection and to the form, not to a trigger. */
const reservedHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Reads the metadata of a Prometheus trigger.
 * @param field where it stands, e.g. `triggers[0].metadata`
 * @returns the trigger, or every problem, each naming its field and what was expected
 */
export function readPrometheusMetadata(
  metadata: unknown,
  field: string,
  settings: Pick<PrometheusSettings, "defaultServer" | "defaultAuthorization">,
): PrometheusTrigger | readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const wrong = (name: string, expected: string, given?: unknown) => {
    const got = given === undefined ? "" : `, got ${bounded(given)}`;
    problems.push({ field: `${field}.${name}`, message: `expected ${expected}${got}` });
    return undefined;
  };
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    return [{ field, message: "expected an object with query and threshold" }];
  }
  const given = metadata as Readonly<Record<string, unknown>>;

  const text = (name: string, expected: string): string | undefined => {
    const value = given[name];
    if (value === undefined || value === null || value === "") return undefined;
    return typeof value === "string" ? value.trim() : wrong(name, expected, value);
  };
  const number = (name: string, expected: string, fits: (value: number) => boolean): number | undefined => {
    const value = given[name];
    const parsed = typeof value === "string" && numberText.test(value) ? Number(value) : value;
    if (typeof parsed === "number" && Number.isFinite(parsed) && fits(parsed)) return parsed;
    return wrong(name, expected, value);
  };

  const address = 'the address of a Prometheus server, such as "http://prometheus.monitoring:9090"';
  const named = text("serverAddress", address);
  let server: URL | undefined;
  if (named === undefined && settings.defaultServer === "") {
    // a wrong type has been reported already
    if (problems.length === 0) wrong("serverAddress", `${address} (the operator has no default one)`);
  } else {
    server = baseUrl(named ?? settings.defaultServer);
    if (server === undefined) wrong("serverAddress", address, hideUserinfo(named ?? settings.defaultServer));
  }

  const query = text("query", "a PromQL query");
  if (query === undefined) {
    if (given.query === undefined || given.query === null || given.query === "") wrong("query", "a PromQL query");
  } else if (query.length > MAX_QUERY_CHARACTERS) {
    wrong("query", `a query of at most ${MAX_QUERY_CHARACTERS} characters`);
  }
  const threshold = number("threshold", 'a number, such as "0.5"', () => true);
  const seconds = `a number of seconds above 0 and at most ${MAX_TIMEOUT_SECONDS}`;
  const timeoutSeconds =
    given.timeoutSeconds === undefined
      ? DEFAULT_TIMEOUT_SECONDS
      : number("timeoutSeconds", seconds, (value) => value > 0 && value <= MAX_TIMEOUT_SECONDS);
  const uptimeFilter = text("uptimeFilter", 'label matchers, such as container="prometheus"');

  const headers: Record<string, string> = {};
  if (server !== undefined && settings.defaultAuthorization !== "" && settings.defaultServer !== "") {
    // a secret of the operator goes to the operator's server alone
    if (baseUrl(settings.defaultServer)?.origin === server.origin)
      headers.authorization = settings.defaultAuthorization;
  }
  if (server !== undefined && server.username !== "") {
    const pair = userinfo(server);
    if (pair === undefined)
      wrong("serverAddress", "an address whose user and password have % only before two hex digits");
    else headers.authorization = `Basic ${Buffer.from(pair).toString("base64")}`;
    server.username = "";
    server.password = "";
  }
  readHeaders(given.headers, headers, (name, expected) => wrong(name, expected));

  if (problems.length > 0 || server === undefined || query === undefined) return problems;
  if (threshold === undefined || timeoutSeconds === undefined) return problems;
  return {
    server: server.href.replace(/\/+$/, ""),
    query,
    threshold,
    uptimeFilter: uptimeFilter ?? DEFAULT_UPTIME_FILTER,
    uptimeFilterIsDefault: uptimeFilter === undefined,
    headers,
    timeoutMs: timeoutSeconds * 1_000,
  };
}

function readHeaders(
  given: unknown,
  headers: Record<string, string>,
  wrong: (name: string, expected: string) => void,
): void {
  if (given === undefined || given === null) return;
  if (typeof given !== "object" || Array.isArray(given)) {
    wrong("headers", "a map of header names to texts");
    return;
  }
  const entries = Object.entries(given);
  if (entries.length > MAX_HEADERS) wrong("headers", `at most ${MAX_HEADERS} headers`);
  for (const [name, value] of entries) {
    const lower = name.toLowerCase();
    // values may be secrets: no message shows them
    try {
      http.validateHeaderName(name);
      if (reservedHeaders.has(lower)) throw new Error("reserved");
    } catch {
      wrong(`headers[${bounded(name)}]`, "the name of a header that a client may set");
      continue;
    }
    try {
      if (typeof value !== "string") throw new Error("no text");
      http.validateHeaderValue(name, value);
      headers[lower] = value;
    } catch {
      wrong(`headers.${name}`, "a text without control characters");
    }
  }
}

function baseUrl(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:") return undefined;
  return url.hostname === "" || url.search !== "" || url.hash !== "" ? undefined : url;
}

function userinfo({ username, password }: URL): string | undefined {
  try {
    return `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  } catch {
    return undefined;
  }
}

const hideUserinfo = (text: string): string => text.replace(/\/\/[^/@]*@/, "//***@");

function bounded(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
