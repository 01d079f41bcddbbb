import { type Static, Type } from "typebox";
import { type ElastiServiceStatus, type RoutingMode, routingModes } from "./elasti-service-status.ts";
import { OpenObject, StringEnum } from "./schema-kit.ts";

export const triggerTypes = ["prometheus", "traffic"] as const;
export type TriggerType = (typeof triggerTypes)[number];

/** Statuses that a probeResponse may answer with. */
export const staticStatuses = [200, 204, 400, 401, 403, 404, 500, 502, 503, 504] as const;

const Matcher = (what: string) =>
  Type.Object(
    {
      name: Type.String({ description: `Name of the ${what}.`, minLength: 1, maxLength: 256 }),
      type: Type.Optional(
        StringEnum(["Exact", "RegularExpression"], {
          default: "Exact",
          description: "How value is compared. Regular expressions are RE2.",
        }),
      ),
      value: Type.String({ description: `What the ${what} must be.`, maxLength: 1024 }),
    },
    { description: `A condition on one ${what}.` },
  );

export const ProbeResponseSchema = Type.Object(
  {
    path: Type.Optional(
      Type.Object(
        {
          type: Type.Optional(
            StringEnum(["Exact", "PathPrefix", "RegularExpression"], {
              default: "PathPrefix",
              description: "How value is compared; a prefix is compared by path segment.",
            }),
          ),
          value: Type.Optional(
            Type.String({
              default: "/",
              maxLength: 1024,
              description: "The path, its prefix, or an RE2 expression that must match all of it.",
            }),
          ),
        },
        { description: "Condition on the path; left out, every path fits." },
      ),
    ),
    method: Type.Optional(
      StringEnum(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"], {
        description: "Condition on the method; left out, every method fits.",
      }),
    ),
    headers: Type.Optional(
      Type.Array(Matcher("header"), { maxItems: 16, description: "Conditions on headers; all must hold." }),
    ),
    queryParams: Type.Optional(
      Type.Array(Matcher("query parameter"), {
        maxItems: 16,
        description: "Conditions on query parameters; all must hold.",
      }),
    ),
    userAgent: Type.Optional(
      Type.String({ maxLength: 256, description: "Condition on User-Agent: it must start with this." }),
    ),
    response: Type.Object(
      {
        status: Type.Unsafe<(typeof staticStatuses)[number]>({
          type: "integer",
          enum: [...staticStatuses],
          description: "Status of the answer.",
        }),
        body: Type.Optional(Type.String({ maxLength: 4096, description: "Body of the answer." })),
        contentType: Type.Optional(
          Type.String({
            maxLength: 128,
            default: "text/plain; charset=utf-8",
            description: "Content-Type of the answer.",
          }),
        ),
      },
      { description: "The answer." },
    ),
  },
  {
    description:
      "A request that fits is answered by the resolver, without waking the target and without counting as traffic.",
  },
);
export type ProbeResponse = Static<typeof ProbeResponseSchema>;

export const TriggerSchema = Type.Object({
  type: StringEnum(triggerTypes, {
    description:
      "`prometheus` asks a Prometheus server, `traffic` counts what the resolvers see (needs routing.mode Always).",
  }),
  metadata: Type.Optional(
    OpenObject({
      description:
        "Settings of the trigger. prometheus: serverAddress, query, threshold, uptimeFilter, headers, timeoutSeconds. traffic: none.",
    }),
  ),
});
export type Trigger = Static<typeof TriggerSchema>;

export const SpecSchema = Type.Object(
  {
    scaleTargetRef: Type.Object(
      {
        apiVersion: Type.String({ minLength: 1, description: "Group and version of the target, e.g. apps/v1." }),
        kind: Type.String({
          minLength: 1,
          description: "Kind of the target, e.g. Deployment; a plural in lower case is understood too.",
        }),
        name: Type.String({ minLength: 1, maxLength: 253, description: "Name of the target, in the same namespace." }),
      },
      { description: "The workload that sleeps: anything with a scale subresource." },
    ),
    service: Type.String({ minLength: 1, maxLength: 63, description: "The public Service, in the same namespace." }),
    minTargetReplicas: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000, default: 1, description: "Replicas that a wake asks for." }),
    ),
    cooldownPeriod: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 604_800,
        default: 900,
        description: "Seconds without activity before the target may sleep. 0 means at once.",
      }),
    ),
    triggers: Type.Optional(
      Type.Array(TriggerSchema, {
        maxItems: 20,
        description:
          "Who says whether the target is in use: one active trigger keeps it awake, all idle let it sleep. None: its traffic.",
      }),
    ),
    autoscaler: Type.Optional(
      Type.Object(
        {
          type: StringEnum(["hpa", "keda"], { description: "Kind of the autoscaler." }),
          name: Type.String({ minLength: 1, description: "Name of the HorizontalPodAutoscaler or ScaledObject." }),
        },
        {
          description:
            "An autoscaler of the target. Those whose scaleTargetRef names the target are found without it; one that is named here and is not there is shown in status.",
        },
      ),
    ),
    enabledPeriod: Type.Optional(
      Type.Object(
        {
          schedule: Type.Optional(
            Type.String({
              default: "0 0 * * *",
              maxLength: 256,
              description: "When the period begins: cron, five fields.",
            }),
          ),
          duration: Type.Optional(Type.String({ default: "24h", maxLength: 32, description: "How long it lasts." })),
          timezone: Type.Optional(
            Type.String({ default: "UTC", maxLength: 64, description: "Time zone of schedule (IANA name)." }),
          ),
        },
        { description: "When sleeping is allowed; outside, the target is kept at minTargetReplicas." },
      ),
    ),
    probeResponse: Type.Optional(
      Type.Array(ProbeResponseSchema, {
        maxItems: 32,
        description: "Requests that are answered without waking; the first that fits wins.",
      }),
    ),
    routing: Type.Optional(
      Type.Object(
        {
          mode: Type.Optional(
            StringEnum(routingModes, {
              description:
                "SelectorSwap: clients reach pods directly while awake. EndpointSlice: the same without touching the Service. Always: the resolver stays in the path. Default: Always without triggers or with the traffic trigger, else SelectorSwap.",
            }),
          ),
          graceSeconds: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: 3_600,
              default: 30,
              description:
                "Wait between the routing swap and the second look at the triggers; never less than two scrape intervals.",
            }),
          ),
        },
        { description: "How clients are led to the resolver." },
      ),
    ),
    queue: Type.Optional(
      Type.Object(
        {
          maxRequests: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 100_000,
              default: 1_000,
              description: "Most requests held at once by one resolver.",
            }),
          ),
          timeoutSeconds: Type.Optional(
            Type.Integer({ minimum: 1, maximum: 600, default: 300, description: "Longest wait of a held request." }),
          ),
          maxConcurrencyPerPod: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 100_000,
              description: "Most requests that one resolver sends to one pod at once.",
            }),
          ),
        },
        { description: "Bounds of the waiting room." },
      ),
    ),
  },
  { description: "What is wanted." },
);
export type ElastiServiceSpec = Static<typeof SpecSchema>;

/** An ElastiService as the API server gives it. */
export interface ElastiService {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    generation?: number;
    creationTimestamp?: string;
    deletionTimestamp?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    finalizers?: string[];
  };
  spec: ElastiServiceSpec;
  status?: ElastiServiceStatus;
}

/** Defaults that the API server also fills in; for objects that were stored before a field had one. */
export const specDefaults = {
  minTargetReplicas: 1,
  cooldownSeconds: 900,
  graceSeconds: 30,
  maxRequests: 1_000,
  holdTimeoutSeconds: 300,
} as const;

/** The routing mode that a spec asks for: Always where traffic decides (no trigger, or that one), else SelectorSwap. */
export function wantedRoutingMode({
  routing,
  triggers = [],
}: Pick<ElastiServiceSpec, "routing" | "triggers">): RoutingMode {
  if (routing?.mode !== undefined) return routing.mode;
  return triggers.length === 0 || triggers.some(({ type }) => type === "traffic") ? "Always" : "SelectorSwap";
}
