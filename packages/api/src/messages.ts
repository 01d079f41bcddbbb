import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";
import { StringEnum } from "./schema-kit.ts";

/** POST /informer/incoming-request: requests wait for a service. As KubeElasti's. */
export const NotificationSchema = Type.Object(
  {
    count: Type.Integer({ minimum: 0, description: "Requests that wait at this resolver." }),
    svc: Type.String({ minLength: 1, maxLength: 63, description: "Public Service." }),
    namespace: Type.String({ minLength: 1, maxLength: 63, description: "Its namespace." }),
    epoch: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: "The newest epoch that the resolver has seen: an operator that has seen less looks afresh.",
      }),
    ),
  },
  { additionalProperties: true },
);
export type Notification = Static<typeof NotificationSchema>;

/** What the operator did about a notification. */
export const NotificationReplySchema = Type.Object({
  message: Type.String({ description: "KubeElasti's sentence." }),
  /** What happened: a write, none needed, or one that is already under way. */
  outcome: StringEnum(["scaled", "already-awake", "in-progress"]),
  replicas: Type.Integer({ description: "Replicas now asked for." }),
  phase: Type.Optional(Type.String()),
  epoch: Type.Optional(Type.Integer()),
});
export type NotificationReply = Static<typeof NotificationReplySchema>;

/** Most routes in one line of a session: at 250 bytes each, far below the longest line. */
export const ROUTES_PER_LINE = 500;

const Service = {
  namespace: Type.String({ minLength: 1, maxLength: 63 }),
  service: Type.String({ minLength: 1, maxLength: 63 }),
};

/** What a resolver port leads to at one resolver: a port of a Service, by number and, where it has one, by name. */
const ServedRouteSchema = Type.Object({
  resolverPort: Type.Integer({ minimum: 1, maximum: 65_535 }),
  ...Service,
  port: Type.Integer(),
  name: Type.Optional(Type.String({ maxLength: 63 })),
});
export type ServedRoute = Static<typeof ServedRouteSchema>;

/**
 * The session: one stream of JSON lines in each direction between a resolver and one operator replica, dialled by the
 * resolver. These lines go up. A line is at most SESSION_LINE_BYTES long.
 */
export const SessionUpSchema = Type.Union([
  /** The first line but for `routes`. `ports`: resolver ports that it listens on. */
  Type.Object({
    type: Type.Literal("hello"),
    resolver: Type.String({ minLength: 1, maxLength: 253, description: "Pod name; as in the endpoint's targetRef." }),
    namespace: Type.String(),
    node: Type.String(),
    addresses: Type.Array(Type.String(), { maxItems: 4 }),
    ports: Type.Array(Type.Integer()),
  }),
  /** The set of listening ports has changed: all of them. */
  Type.Object({ type: Type.Literal("ports"), ports: Type.Array(Type.Integer()) }),
  /**
   * What its ports lead to. Before `hello` all of them, in any number of lines and at least in one; later, before `ports`, those
   * that are new or lead elsewhere now. A port that `hello` or `ports` leaves out leads nowhere. A resolver of a former version
   * never says it: then each of its ports counts as whoever's the port table says it is.
   */
  Type.Object({ type: Type.Literal("routes"), routes: Type.Array(ServedRouteSchema, { maxItems: ROUTES_PER_LINE }) }),
  /** Services whose numbers changed, at most once a second; at once for the first request in Draining and the first hold. */
  Type.Object({
    type: Type.Literal("traffic"),
    services: Type.Array(
      Type.Object({
        ...Service,
        /** Requests and connections that count as traffic since the process started. */
        requests: Type.Integer({ minimum: 0 }),
        /** Forwarded and not yet finished. */
        inFlight: Type.Integer({ minimum: 0 }),
        /** Waiting in the gate. */
        held: Type.Integer({ minimum: 0 }),
        /** Milliseconds since the last request; -1 for none since the process started. */
        idleMs: Type.Number(),
        /** The newest epoch whose answers from pods it has carried; for targets without a readiness probe. 0 for none. */
        answeredEpoch: Type.Integer({ minimum: 0 }),
      }),
      { maxItems: 500 },
    ),
  }),
  /** The answer to `seal`. */
  Type.Object({
    type: Type.Literal("sealed"),
    ...Service,
    epoch: Type.Integer({ minimum: 0 }),
    ok: Type.Boolean(),
    /** Why not: in-flight, request-seen, held, unknown-epoch, unknown-service. */
    reason: Type.Optional(Type.String()),
  }),
  /** The answer to `prove`: what was dialled, in order. `error` when a connection failed. */
  Type.Object({
    type: Type.Literal("dialled"),
    ...Service,
    proof: Type.String(),
    dials: Type.Array(
      Type.Object({
        address: Type.String({ description: "Local address of the connection." }),
        port: Type.Integer({ description: "Local port." }),
        openMs: Type.Number({ description: "How long it was open." }),
      }),
      { maxItems: 64 },
    ),
    error: Type.Optional(Type.String()),
  }),
  /** Connections on a service's port that were closed without a byte, while it is Draining: in order of their end. */
  Type.Object({
    type: Type.Literal("silent"),
    ...Service,
    peers: Type.Array(Type.Object({ address: Type.String(), port: Type.Integer(), openMs: Type.Number() }), {
      maxItems: 64,
    }),
  }),
  Type.Object({ type: Type.Literal("ping") }),
]);
export type SessionUp = Static<typeof SessionUpSchema>;
export type TrafficReport = Extract<SessionUp, { type: "traffic" }>["services"][number];

/** Lines that go down. */
export const SessionDownSchema = Type.Union([
  Type.Object({ type: Type.Literal("welcome"), operator: Type.String(), leader: Type.Boolean() }),
  /** Open `openMs.length` connections one after another to the Service address, each for so long, and send nothing. */
  Type.Object({
    type: Type.Literal("prove"),
    ...Service,
    proof: Type.String(),
    address: Type.String(),
    port: Type.Integer(),
    openMs: Type.Array(Type.Number({ minimum: 0, maximum: 1_000 }), { minItems: 1, maxItems: 64 }),
  }),
  /**
   * Hold from now on, if nothing is in flight and nothing was seen since Draining with epoch `drainEpoch` began. `epoch` is
   * the epoch of the phase Sealed; only a newer one unseals.
   */
  Type.Object({ type: Type.Literal("seal"), ...Service, epoch: Type.Integer(), drainEpoch: Type.Integer() }),
  Type.Object({ type: Type.Literal("ping") }),
]);
export type SessionDown = Static<typeof SessionDownSchema>;

/** The types of lines that are known in each direction. */
export const sessionUpTypes: ReadonlySet<string> = new Set<SessionUp["type"]>([
  "hello",
  "ports",
  "routes",
  "traffic",
  "sealed",
  "dialled",
  "silent",
  "ping",
]);
export const sessionDownTypes: ReadonlySet<string> = new Set<SessionDown["type"]>(["welcome", "prove", "seal", "ping"]);

/** Longest line of a session, in bytes. */
export const SESSION_LINE_BYTES = 256 * 1024;
/** Each side sends a ping after this long without a line, and gives the session up after three times as long without one. */
export const SESSION_PING_MS = 3_000;

export const parseSessionUp = Compile(SessionUpSchema);
export const parseSessionDown = Compile(SessionDownSchema);
export const parseNotificationReply = Compile(NotificationReplySchema);
