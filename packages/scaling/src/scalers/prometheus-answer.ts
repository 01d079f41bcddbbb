/** Why a query gave no number. Each is a heading in docs/troubleshooting.md. */
export const queryFailures = [
  "PrometheusUnreachable",
  "PrometheusTimeout",
  "PrometheusStatus",
  "PrometheusRedirects",
  "ServerNotAllowed",
  "QueryRejected",
  "MalformedAnswer",
  "AnswerTooLarge",
  "WrongResultType",
  "Warnings",
  "SeveralSeries",
  "NullValue",
  "NotANumber",
  "Infinite",
  "TooManyQueries",
] as const;
export type QueryFailure = (typeof queryFailures)[number];

/** What came of one instant query. `empty`: it was answered, and matches nothing. */
export type QueryAnswer =
  | { readonly kind: "value"; readonly value: number }
  | { readonly kind: "empty" }
  | { readonly kind: "failure"; readonly reason: QueryFailure; readonly message: string };

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const SHOWN = 200;

export function failure(reason: QueryFailure, message: string): QueryAnswer {
  return { kind: "failure", reason, message };
}

/** Text of a stranger for a message: one line, bounded. */
export function shown(value: unknown): string {
  const text = (typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing")).replace(/\s+/g, " ").trim();
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text;
}

/**
 * Understands the answer of `/api/v1/query`: one number, nothing, or why not. Everything that could be read in two ways is a
 * failure, since the number decides whether a workload is switched off.
 */
export function parseAnswer(status: number, text: string): QueryAnswer {
  if (status >= 300 && status < 400)
    return failure("PrometheusRedirects", `HTTP ${status}; redirects are not followed`);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    if (status !== 200) return failure("PrometheusStatus", `HTTP ${status}: ${shown(text)}`);
    return failure("MalformedAnswer", `the answer is no JSON: ${shown(text)}`);
  }
  if (!isRecord(body)) return failure("MalformedAnswer", `the answer is no object: ${shown(body)}`);
  if (body.status === "error") {
    const said = `${shown(body.errorType ?? "error")}: ${shown(body.error ?? "")}`;
    return status >= 500 ? failure("PrometheusStatus", `HTTP ${status}, ${said}`) : failure("QueryRejected", said);
  }
  if (status !== 200) return failure("PrometheusStatus", `HTTP ${status}: ${shown(text)}`);
  if (body.status !== "success" || !isRecord(body.data)) {
    return failure("MalformedAnswer", `neither success nor error: ${shown(body)}`);
  }
  // servers that put parts together (Thanos, federation) warn when a part is missing
  if (body.warnings !== undefined && !(Array.isArray(body.warnings) && body.warnings.length === 0)) {
    return failure("Warnings", `answered with warnings: ${shown(body.warnings)}`);
  }
  return resultOf(body.data);
}

function resultOf({ resultType, result }: Readonly<Record<string, unknown>>): QueryAnswer {
  if (resultType === "scalar") return sampleOf(result);
  if (resultType !== "vector") {
    return failure("WrongResultType", `the query gives a ${shown(resultType)}, expected one series or a scalar`);
  }
  if (!Array.isArray(result)) return failure("MalformedAnswer", `a vector without a list: ${shown(result)}`);
  if (result.length === 0) return { kind: "empty" };
  if (result.length > 1) {
    return failure("SeveralSeries", `the query gives ${result.length} series, expected one: aggregate it, as by sum()`);
  }
  const series: unknown = result[0];
  if (!isRecord(series)) return failure("MalformedAnswer", `a series that is none: ${shown(series)}`);
  if (series.value === undefined && series.histogram !== undefined) {
    return failure("WrongResultType", "the query gives a histogram, expected a number");
  }
  return sampleOf(series.value);
}

function sampleOf(sample: unknown): QueryAnswer {
  if (!Array.isArray(sample) || sample.length !== 2) {
    return failure("MalformedAnswer", `expected a time and a value: ${shown(sample)}`);
  }
  const text: unknown = sample[1];
  if (text === null) return failure("NullValue", "the value is null");
  if (typeof text !== "string") return failure("MalformedAnswer", `expected a value as text: ${shown(text)}`);
  if (/^nan$/i.test(text)) return failure("NotANumber", "the value is NaN: a division by zero, or no data below it");
  if (/^[+-]?inf$/i.test(text)) return failure("Infinite", `the value is ${text}`);
  if (!decimal.test(text)) return failure("MalformedAnswer", `expected a number: ${shown(text)}`);
  const value = Number(text);
  return Number.isFinite(value) ? { kind: "value", value } : failure("Infinite", `the value is ${shown(text)}`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
