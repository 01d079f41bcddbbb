import type { AddressInfo } from "node:net";
import { type Logger, type Problem, silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import type { Override, OverrideState } from "@elasti/scaling";
import Fastify, { type FastifyInstance } from "fastify";
import {
  type Access,
  type Caller,
  type Callers,
  type Decision,
  type ElastiServiceState,
  type ElastiServiceStates,
  type Evaluation,
  type Overrides,
  type OverrideTarget,
  openStore,
  POLICY_API,
  type Policy,
  type PolicyContext,
  type PolicyEvaluator,
  type PolicyVerb,
  policyErrors,
  policyRoutes,
  policyServices,
  type Store,
  type WakeReason,
} from "../../src/index.ts";

export const startMs = Date.UTC(2026, 4, 4, 12);

/** Tokens are names; of rights there is a list. */
export class Rights implements Callers, Access {
  /** By token: `<verb> <namespace>`, with * for any. */
  readonly granted: Record<string, readonly string[]> = {
    admin: ["* *"],
    shop: ["* shop"],
    reader: ["get shop", "list shop"],
  };
  readonly secrets: Record<string, readonly string[]> = { shop: ["shop/db"] };

  async identify(authorization: string | undefined): Promise<Caller> {
    const token = /^Bearer (.+)$/.exec(authorization ?? "")?.[1];
    if (token === undefined || !Object.hasOwn(this.granted, token)) {
      throw policyErrors.ELASTI_POLICY_UNAUTHENTICATED("send a token");
    }
    return { name: token, subject: { username: token, groups: [] } };
  }

  async mayPolicies({ name }: Caller, verb: PolicyVerb, namespace: string | undefined): Promise<boolean> {
    return (this.granted[name] ?? []).some((right) => {
      const [verbs, where] = right.split(" ");
      return (verbs === "*" || verbs === verb) && (where === "*" || where === namespace);
    });
  }

  async mayReadSecret({ name }: Caller, namespace: string, secret: string): Promise<boolean> {
    return name === "admin" || (this.secrets[name] ?? []).includes(`${namespace}/${secret}`);
  }
}

/** An engine that decides what it is told, and remembers what it was asked. */
export class Engine implements PolicyEvaluator {
  readonly asked: { policy: string; dryRun: boolean; by: string }[] = [];
  answer: (policy: Policy, dryRun: boolean, signal: AbortSignal) => Evaluation | Promise<Evaluation> = (
    _policy,
    dryRun,
  ) => ({
    decision: decision({}),
    outcome: dryRun ? "dry_run" : "executed",
  });

  async evaluate(
    policy: Policy,
    { dryRun, by, signal }: { dryRun: boolean; by: string; signal: AbortSignal },
  ): Promise<Evaluation> {
    this.asked.push({ policy: policy.name, dryRun, by });
    return this.answer(policy, dryRun, signal);
  }
}

export const decision = (more: Partial<Decision>): Decision => ({
  action: "scale_up",
  current_replicas: 2,
  desired_replicas: 4,
  bounds: { min: 1, max: 10 },
  triggered_by: "rule:0b9f4a4e-6a53-4a0e-8c3e-0c9c8f9d7a11",
  reason: "queue is 12, above 10 for 60 s",
  held_back: null,
  rules: [
    {
      rule: "0b9f4a4e-6a53-4a0e-8c3e-0c9c8f9d7a11",
      direction: "up",
      fired: true,
      wants: 4,
      condition: {
        key: "all",
        text: "all of it",
        met: true,
        held: true,
        parts: [{ key: "queue", text: "queue > 10", value: 12, met: true, held: true, held_seconds: 60 }],
      },
    },
  ],
  windows: [],
  wants_awake: false,
  wants_zero: false,
  ...more,
});

/** ElastiServices by `namespace/name` of the target that a policy names. */
export class Sleepers implements ElastiServiceStates {
  readonly services = new Map<string, ElastiServiceState>();
  readonly woken: { name: string; reason: WakeReason }[] = [];
  failure: Error | undefined;
  serves = true;
  /** Somebody waits for a service that does not serve. */
  readonly #waits = Promise.withResolvers<void>();
  readonly waiting = this.#waits.promise;

  set(name: string, more: Partial<ElastiServiceState> = {}): void {
    const times = { sinceMs: startMs - 3_600_000, lastActiveMs: startMs - 7_200_000 };
    const wake = { lastWakeMs: undefined, lastWakeReason: undefined };
    this.services.set(`shop/${name}`, { namespace: "shop", name, phase: "Asleep", ...times, ...wake, ...more });
  }

  of({ target_ref }: Policy): ElastiServiceState | undefined {
    return target_ref === null ? undefined : this.services.get(`${target_ref.namespace}/${target_ref.name}`);
  }

  namespaces(): readonly string[] {
    return [...new Set([...this.services.values()].map(({ namespace }) => namespace))];
  }

  async wake(namespace: string, name: string, reason: WakeReason): Promise<{ replicas: number }> {
    if (this.failure !== undefined) throw this.failure;
    this.woken.push({ name, reason });
    const before = this.services.get(`${namespace}/${name}`);
    if (before?.phase === "Asleep") this.set(name, { phase: "Waking", sinceMs: startMs });
    return { replicas: 2 };
  }

  async serving(_namespace: string, _name: string, signal: AbortSignal): Promise<boolean> {
    if (this.serves) return true;
    this.#waits.resolve();
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    return false;
  }
}

export class Kept implements Overrides {
  readonly found = new Map<string, OverrideState>();
  readonly #key = ({ namespace, kind, name }: OverrideTarget) => `${namespace}/${kind}/${name}`;

  async get(target: OverrideTarget): Promise<OverrideState> {
    this.#check(target);
    return this.found.get(this.#key(target)) ?? { state: "none" };
  }

  async put(target: OverrideTarget, override: Override): Promise<void> {
    this.#check(target);
    this.found.set(this.#key(target), { state: "active", override });
  }

  async delete(target: OverrideTarget): Promise<boolean> {
    this.#check(target);
    return this.found.delete(this.#key(target));
  }

  #check({ kind, namespace, name }: OverrideTarget): void {
    if (kind.toLowerCase() === "deployment") return;
    throw policyErrors.ELASTI_POLICY_TARGET_NOT_FOUND(`there is no ${kind} ${namespace}/${name}`);
  }
}

export const context: PolicyContext = {
  targetTypes: {
    elastiservice: { needsRef: true },
    workload: { needsRef: true },
    scaledobject: { needsRef: true },
    "cdc-worker": { needsRef: false },
  },
  catalogue: ["queue", "latency"],
};

export interface World {
  readonly url: string;
  readonly app: FastifyInstance;
  readonly store: Store;
  readonly clock: ManualClock;
  readonly rights: Rights;
  readonly engine: Engine;
  readonly sleepers: Sleepers;
  readonly overrides: Kept;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Makes a policy and gives it. */
  made(more?: Record<string, unknown>): Promise<Policy>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly body?: unknown;
  /** null: none. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Any & Partial<Problem>;
}
/** A body as it came: everything is there to be asserted on. */
export interface Any {
  [field: string]: unknown;
}

/** The least body of a policy. */
export const body = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  name: "web",
  target_type: "workload",
  target_ref: { namespace: "shop", name: "web", kind: "Deployment" },
  ...more,
});

/** The API on a port of its own, with a real store, and doubles of the engine and the operator. */
export async function startWorld(
  options: { maxAtWork?: number; docsFolder?: string; logger?: Logger; callers?: Callers; access?: Access } = {},
): Promise<World> {
  const { logger = silentLogger, callers, access, ...rest } = options;
  const clock = new ManualClock(startMs);
  const store = await openStore({ file: ":memory:", clock, logger });
  const [rights, engine, sleepers, overrides] = [new Rights(), new Engine(), new Sleepers(), new Kept()];
  const services = policyServices({
    store,
    context,
    evaluator: engine,
    elastiServices: sleepers,
    overrides,
    access: access ?? rights,
    clock,
    logger,
  });
  const app = Fastify({ exposeHeadRoutes: true, return503OnClosing: false, routerOptions: { maxParamLength: 512 } });
  app.register(policyRoutes({ services, callers: callers ?? rights, logger, ...rest }), { prefix: POLICY_API });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}${POLICY_API}`;
  const call = (method: string, path: string, given: CallOptions = {}) => send(`${url}${path}`, method, given);
  return {
    ...{ url, app, store, clock, rights, engine, sleepers, overrides, call },
    made: async (more = {}) => {
      const { status, text, body: answer } = await call("POST", "/policies", { body: body(more) });
      if (status !== 201) throw new Error(`no policy was made: ${status} ${text}`);
      return answer.policy as Policy;
    },
    close: async () => {
      app.server.closeAllConnections();
      await app.close();
      await store.close();
    },
  };
}

async function send(url: string, method: string, { body: given, token, headers }: CallOptions): Promise<Answer> {
  const response = await fetch(url, {
    method,
    ...(given === undefined ? {} : { body: typeof given === "string" ? given : JSON.stringify(given) }),
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token ?? "admin"}` }),
      ...(given === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
  });
  const text = await response.text();
  const json = /json/.test(response.headers.get("content-type") ?? "") && text !== "";
  return { status: response.status, headers: response.headers, text, body: json ? (JSON.parse(text) as Any) : {} };
}
