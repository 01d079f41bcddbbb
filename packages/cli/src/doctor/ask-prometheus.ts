import type { ElastiService } from "@elasti/api";
import { ElastiError, errorText } from "@elasti/core";
import { answeredStatus, isForbidden, isNotFound, type KubeClient } from "@elasti/kube";
import type { TriggerAnswer } from "./snapshot.ts";

/** Longest wait for an answer, in ms. */
const timeoutMs = 5_000;
const concurrency = 8;

/**
 * Asks the Prometheus of every trigger. One in the cluster is asked through the API server, which works from anywhere, but
 * without the trigger's own headers.
 */
export async function askTriggers(
  client: KubeClient,
  all: readonly ElastiService[],
  defaultServer: string | undefined,
): Promise<TriggerAnswer[]> {
  const asked = all.flatMap((elastiService) =>
    (elastiService.spec.triggers ?? []).flatMap(({ type, metadata = {} }, index) => {
      const { serverAddress = defaultServer, query, headers } = metadata as Record<string, unknown>;
      if (type !== "prometheus" || typeof serverAddress !== "string" || typeof query !== "string") return [];
      return [
        { elastiService, field: `triggers[${index}]`, server: serverAddress, query, hasHeaders: headers !== undefined },
      ];
    }),
  );
  const answers: TriggerAnswer[] = [];
  const next = asked.values();
  const work = async (): Promise<void> => {
    for (const { query, hasHeaders, ...about } of next)
      answers.push({ ...about, answer: await ask(client, about.server, query, hasHeaders) });
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return answers;
}

interface Proxied {
  readonly namespace: string;
  /** As the API server's proxy names it. */
  readonly service: string;
  readonly path: string;
}

/** `http://prometheus.monitoring:9090` as the API server's proxy reaches it; undefined for what is no Service of the cluster. */
export function proxied(address: string): Proxied | undefined {
  if (!URL.canParse(address)) return undefined;
  const { protocol, hostname, port, pathname } = new URL(address);
  const [name, namespace, svc, ...domain] = hostname.split(".");
  if (name === undefined || namespace === undefined || /^\d+$/.test(name)) return undefined;
  if (svc !== undefined && (svc !== "svc" || domain[0] === "")) return undefined;
  const scheme = protocol === "https:" ? "https" : "http";
  return {
    namespace,
    service: `${scheme}:${name}:${port === "" ? (scheme === "https" ? "443" : "80") : port}`,
    path: pathname.replace(/\/+$/, ""),
  };
}

async function ask(
  client: KubeClient,
  server: string,
  query: string,
  hasHeaders: boolean,
): Promise<TriggerAnswer["answer"]> {
  const place = proxied(server);
  const asking = `/api/v1/query?query=${encodeURIComponent(query)}`;
  if (place === undefined)
    return { kind: "unknown", message: "it is not a Service of the cluster, and is not asked from here" };
  try {
    const { namespace, service, path } = place;
    const body = await client.raw<unknown>(
      "GET",
      `/api/v1/namespaces/${namespace}/services/${service}/proxy${path}${asking}`,
      undefined,
      { timeoutMs },
    );
    return judge(body);
  } catch (error) {
    const status = answeredStatus(error);
    if ((status === 401 || status === 403) && (hasHeaders || isForbidden(error)))
      return { kind: "unknown", message: `it cannot be asked from here: ${short(error)}` };
    // an API server that passes no questions on
    if (isNotFound(error) && !/services? "/.test(errorText(error)))
      return { kind: "unknown", message: `it cannot be asked from here: ${short(error)}` };
    return { kind: "failure", message: short(error) };
  }
}

const short = (error: unknown): string =>
  (error instanceof ElastiError ? error.message : errorText(error)).replace(/^raw \S+: /, "").slice(0, 300);

/** What an answer of Prometheus comes to. */
export function judge(body: unknown): TriggerAnswer["answer"] {
  const fields = (value: unknown): Readonly<Record<string, unknown>> =>
    typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  const { status, data, error } = fields(body);
  if (status !== "success")
    return { kind: "failure", message: typeof error === "string" ? error : "no answer of Prometheus" };
  const { resultType, result } = fields(data);
  if (resultType === "scalar") return { kind: "series", count: 1 };
  if (resultType !== "vector" || !Array.isArray(result))
    return { kind: "failure", message: `the query gives a ${String(resultType)}, and a number is needed` };
  return { kind: "series", count: result.length };
}
