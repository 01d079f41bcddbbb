import {
  type ElastiServiceSpec,
  SESSION_PING_MS,
  specDefaults,
  type TriggerType,
  wantedRoutingMode,
} from "@elasti/api";
import { type Clock, systemClock } from "@elasti/core";
import { scalingErrors } from "../errors.ts";
import { CombinedScaler, type NamedScaler } from "./combine.ts";
import { type FieldProblem, type PrometheusSettings, readPrometheusMetadata } from "./prometheus-metadata.ts";
import { PrometheusScaler } from "./prometheus-scaler.ts";
import type { QueryClient } from "./query-client.ts";
import type { Scaler } from "./scaler.ts";
import { TrafficScaler, type TrafficSource } from "./traffic-scaler.ts";

/** What scalers are made with. */
export interface ScalerContext {
  queries: QueryClient;
  traffic: TrafficSource;
  prometheus: Pick<PrometheusSettings, "defaultServer" | "defaultAuthorization">;
  clock?: Clock;
  /** A resolver that was not heard of for so long is silent. */
  silenceMs?: number;
}

interface Request {
  readonly service: { readonly namespace: string; readonly name: string };
  readonly spec: Pick<ElastiServiceSpec, "triggers" | "cooldownPeriod" | "routing">;
  readonly cooldownMs: number;
  readonly metadata: unknown;
  /** `spec.triggers[0]` */
  readonly field: string;
  readonly context: ScalerContext;
}

type Factory = (request: Request) => Scaler | readonly FieldProblem[];

const factories: Readonly<Record<TriggerType, Factory>> = {
  prometheus: ({ metadata, field, context, cooldownMs }) => {
    const trigger = readPrometheusMetadata(metadata, `${field}.metadata`, context.prometheus);
    return "query" in trigger ? new PrometheusScaler(trigger, context.queries, cooldownMs) : trigger;
  },
  traffic: ({ service, spec, field, context, cooldownMs }) => {
    const mode = wantedRoutingMode(spec);
    if (mode !== "Always") {
      // elsewhere clients reach pods directly, and a busy service would look idle
      const message = `counting traffic needs spec.routing.mode Always, got ${mode}: resolvers see all of it only there`;
      return [{ field, message }];
    }
    return new TrafficScaler({
      source: context.traffic,
      service,
      clock: context.clock ?? systemClock,
      cooldownMs,
      silenceMs: context.silenceMs ?? 3 * SESSION_PING_MS,
    });
  },
};

/**
 * The scaler of an ElastiService: all of its triggers as one; its traffic where it has none.
 * @throws ELASTI_TRIGGER_INVALID with `details.errors: {field, message}[]`, every problem of every trigger
 */
export function createScaler(
  service: { readonly namespace: string; readonly name: string },
  spec: Pick<ElastiServiceSpec, "triggers" | "cooldownPeriod" | "routing">,
  context: ScalerContext,
): Scaler {
  const cooldownMs = (spec.cooldownPeriod ?? specDefaults.cooldownSeconds) * 1_000;
  const given = spec.triggers ?? [];
  const triggers: readonly { type: string; metadata?: unknown }[] = given.length > 0 ? given : [{ type: "traffic" }];
  const problems: FieldProblem[] = [];
  const children: NamedScaler[] = [];
  for (const [index, { type, metadata }] of triggers.entries()) {
    const field = given.length > 0 ? `triggers[${index}]` : "triggers";
    if (!isKnown(type)) {
      const message = `expected one of ${Object.keys(factories).join(", ")}, got ${JSON.stringify(type)}`;
      problems.push({ field: `${field}.type`, message });
      continue;
    }
    const made = factories[type]({ service, spec, cooldownMs, metadata, field, context });
    if ("close" in made) children.push({ name: `${field} (${type})`, scaler: made });
    else problems.push(...made);
  }
  if (problems.length > 0) {
    throw scalingErrors.ELASTI_TRIGGER_INVALID(problems.map((one) => `${one.field}: ${one.message}`).join("; "), {
      details: { errors: problems },
    });
  }
  return new CombinedScaler(children);
}

function isKnown(type: unknown): type is TriggerType {
  return typeof type === "string" && Object.hasOwn(factories, type);
}
