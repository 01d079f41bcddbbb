import { type Static, Type } from "typebox";
import { StringEnum } from "./schema-kit.ts";

/** Phases of an ElastiService (status.phase). */
export const phases = ["Serving", "Draining", "Sealed", "Asleep", "Waking", "Degraded"] as const;
export type Phase = (typeof phases)[number];

export const routingModes = ["SelectorSwap", "EndpointSlice", "Always"] as const;
export type RoutingMode = (typeof routingModes)[number];

const ProbeTarget = Type.Object(
  {
    type: StringEnum(["http", "tcp", "grpc"], { description: "Kind of check." }),
    port: Type.Integer({ minimum: 1, maximum: 65_535, description: "Port on the pod." }),
    path: Type.Optional(Type.String({ description: "http: path and query." })),
    scheme: Type.Optional(StringEnum(["HTTP", "HTTPS"], { description: "http: scheme." })),
    headers: Type.Optional(
      Type.Array(Type.Object({ name: Type.String(), value: Type.String() }), { description: "http: request headers." }),
    ),
    service: Type.Optional(Type.String({ description: "grpc: service name." })),
    timeoutSeconds: Type.Integer({ minimum: 1, description: "Time-out of one attempt." }),
  },
  { description: "One check, with its port resolved to a number." },
);
export type ProbeTarget = Static<typeof ProbeTarget>;

export const ProbeStatusSchema = Type.Object(
  {
    wait: StringEnum(["Probe", "Connect", "Ready"], {
      description:
        "What opens the gate besides Ready in the slice: the checks below, an accepted connection (no readiness probe), or nothing else (Ready only).",
    }),
    readiness: Type.Optional(ProbeTarget),
    startup: Type.Optional(ProbeTarget),
  },
  { description: "How resolvers find out that a pod can take requests; from the target's pod template." },
);
export type ProbeStatus = Static<typeof ProbeStatusSchema>;

export const RouteSchema = Type.Object({
  name: Type.Optional(Type.String({ description: "Name of the Service port." })),
  port: Type.Integer({ description: "Port of the Service." }),
  resolverPort: Type.Integer({ description: "Port on the resolvers that belongs to it alone." }),
  protocol: Type.String({ description: "Protocol of the Service port." }),
  appProtocol: Type.Optional(Type.String({ description: "appProtocol of the Service port." })),
});
export type Route = Static<typeof RouteSchema>;

export const ConditionSchema = Type.Object({
  type: Type.String({ description: "What the condition is about." }),
  status: StringEnum(["True", "False", "Unknown"], { description: "Whether it holds." }),
  reason: Type.String({ description: "Why, in one word; a heading in docs/troubleshooting.md." }),
  message: Type.String({ description: "Why, for people." }),
  lastTransitionTime: Type.String({ format: "date-time", description: "When status last changed." }),
  observedGeneration: Type.Optional(Type.Integer({ description: "The generation that this speaks of." })),
});
export type Condition = Static<typeof ConditionSchema>;

export const RaiseSchema = Type.Object({
  time: Type.String({ format: "date-time", description: "When it was seen." }),
  epoch: Type.Integer({ description: "Epoch of the phase Waking that it led to." }),
  generation: Type.Optional(Type.Integer({ description: "The generation of spec at that time." })),
  manager: Type.Optional(Type.String({ description: "The field manager of spec.replicas, where one is recorded." })),
});
export type Raise = Static<typeof RaiseSchema>;

export const ParkRevertSchema = Type.Object({
  time: Type.String({ format: "date-time", description: "When it was seen." }),
  drainEpoch: Type.Integer({ description: "Epoch of the sleep that it happened in." }),
  generation: Type.Optional(Type.Integer({ description: "The generation of spec at that time." })),
  service: Type.Optional(Type.String({ description: "uid of the Service." })),
  manager: Type.Optional(Type.String({ description: "The field manager of spec.selector, where one is recorded." })),
});
export type ParkRevert = Static<typeof ParkRevertSchema>;

export const WakingSchema = Type.Object(
  {
    reason: Type.String({ description: "What it is, in one word; a heading in docs/troubleshooting.md." }),
    message: Type.String({ description: "What it is, for people." }),
    since: Type.String({ format: "date-time", description: "Since when it is so." }),
    certain: Type.Boolean({
      description:
        "Waiting will not help before something changes: requests are answered 503 with this reason instead of being held.",
    }),
    until: Type.Optional(
      Type.String({
        format: "date-time",
        description: "It ends by itself at this moment: from then on requests are held again.",
      }),
    ),
  },
  { description: "While no pod is ready: what the pods wait for, or why they cannot start." },
);
export type Waking = Static<typeof WakingSchema>;

export const StatusSchema = Type.Object(
  {
    mode: Type.Optional(
      StringEnum(["proxy", "serve"], { description: "proxy: clients reach the resolver. serve: clients reach pods." }),
    ),
    phase: Type.Optional(StringEnum(phases, { description: "Where the service stands between awake and asleep." })),
    epoch: Type.Optional(Type.Integer({ minimum: 0, description: "Raised by every change of phase." })),
    drainEpoch: Type.Optional(Type.Integer({ minimum: 0, description: "Epoch of the last phase Draining." })),
    phaseTime: Type.Optional(Type.String({ format: "date-time", description: "When phase last changed." })),
    podsGone: Type.Optional(
      Type.Boolean({
        description: "Asleep: no pod from before the scale to zero is left, so that any pod seen now is a new one.",
      }),
    ),
    routingMode: Type.Optional(StringEnum(routingModes, { description: "The mode in force." })),
    routes: Type.Optional(Type.Array(RouteSchema, { description: "The resolver port of each Service port." })),
    probe: Type.Optional(ProbeStatusSchema),
    waking: Type.Optional(WakingSchema),
    conditions: Type.Optional(
      Type.Array(ConditionSchema, {
        description: "Ready, Idle, RoutingSupported and what else is worth knowing.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
      }),
    ),
    observedGeneration: Type.Optional(Type.Integer({ description: "The generation of spec that status speaks of." })),
    lastReconciledTime: Type.Optional(
      Type.String({ format: "date-time", description: "When a reconcile last wrote status." }),
    ),
    lastScaledUpTime: Type.Optional(
      Type.String({ format: "date-time", description: "When the target was last scaled up." }),
    ),
    lastActiveTime: Type.Optional(
      Type.String({ format: "date-time", description: "Last activity known; the cooldown counts from here." }),
    ),
    raises: Type.Optional(
      Type.Array(RaiseSchema, {
        description: "Times at which somebody else raised the target from zero, the newest last; at most eight.",
      }),
    ),
    parkReverts: Type.Optional(
      Type.Array(ParkRevertSchema, {
        description: "The last two times at which somebody took Elasti's key off the Service's selector.",
      }),
    ),
    lastWake: Type.Optional(
      Type.Object({
        time: Type.String({ format: "date-time", description: "When the wake began." }),
        reason: Type.String({ description: "What woke it: request, trigger, schedule, override, policy, manual." }),
        fromReplicas: Type.Integer({ description: "Replicas before." }),
        toReplicas: Type.Integer({ description: "Replicas asked for." }),
      }),
    ),
  },
  { description: "What is." },
);
export type ElastiServiceStatus = Static<typeof StatusSchema>;
