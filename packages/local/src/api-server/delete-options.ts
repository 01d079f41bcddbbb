import { asObject } from "./json.ts";
import type { DeleteOptions } from "./objects.ts";
import { badRequest } from "./status-error.ts";

const policies = ["Orphan", "Background", "Foreground"];

/** DeleteOptions from the body or, for those that may stand there, from the query. Throws 400. */
export function parseDeleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const sent = asObject(body);
  const preconditions = asObject(sent.preconditions);
  const grace = sent.gracePeriodSeconds ?? query.get("gracePeriodSeconds") ?? undefined;
  const policy = sent.propagationPolicy ?? query.get("propagationPolicy") ?? undefined;
  if (policy !== undefined && !policies.includes(String(policy))) {
    throw badRequest(`propagationPolicy: Unsupported value: ${JSON.stringify(policy)}`);
  }
  if (grace !== undefined && !Number.isInteger(Number(grace))) {
    throw badRequest(`gracePeriodSeconds: Invalid value: ${JSON.stringify(grace)}: must be a whole number`);
  }
  return {
    uid: typeof preconditions.uid === "string" ? preconditions.uid : undefined,
    resourceVersion: typeof preconditions.resourceVersion === "string" ? preconditions.resourceVersion : undefined,
    gracePeriodSeconds: grace === undefined ? undefined : Number(grace),
    propagationPolicy: policy === undefined ? undefined : String(policy),
    dryRun: Array.isArray(sent.dryRun) ? sent.dryRun.includes("All") : query.get("dryRun") === "All",
  };
}
