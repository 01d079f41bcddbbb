import type { Clock } from "@elasti/core";
import type { PolicyRepository, PolicyState, StateRepository } from "../contracts.ts";
import type { Policy } from "../schema/policy.ts";
import type { Caller, Guard } from "./access.ts";
import type { ElastiServiceState, ElastiServiceStates } from "./elasti-services.ts";
import { allPolicies, type PolicyService } from "./policies.ts";

/** Whether the target of a policy runs at all. Times are ms since the epoch; undefined where nothing is known of it. */
export interface IdleAnswer {
  readonly policy: Policy;
  readonly lastActivityMs: number | undefined;
  readonly idleMs: number;
  readonly scaledToZero: boolean;
  readonly scaledToZeroMs: number | undefined;
  readonly lastWakeMs: number | undefined;
  readonly wakeReason: string | undefined;
}

/** Which targets sleep: by their ElastiService, and where there is none by what the policy itself has made of them. */
export class IdleService {
  readonly #policies: PolicyService;
  readonly #repository: PolicyRepository;
  readonly #states: StateRepository;
  readonly #elastiServices: ElastiServiceStates;
  readonly #guard: Guard;
  readonly #clock: Clock;

  constructor(deps: {
    policies: PolicyService;
    repository: PolicyRepository;
    states: StateRepository;
    elastiServices: ElastiServiceStates;
    guard: Guard;
    clock: Clock;
  }) {
    this.#policies = deps.policies;
    this.#repository = deps.repository;
    this.#states = deps.states;
    this.#elastiServices = deps.elastiServices;
    this.#guard = deps.guard;
    this.#clock = deps.clock;
  }

  /** @throws ELASTI_POLICY_NOT_FOUND */
  async ofPolicy(caller: Caller, id: string): Promise<IdleAnswer> {
    const policy = await this.#policies.allowed(caller, "get", id);
    const elastiService = this.#elastiServices.of(policy);
    if (elastiService !== undefined) return byElastiService(policy, elastiService, this.#clock.now());
    return byState(policy, await this.#states.get(id), this.#clock.now());
  }

  /** Those that are at zero now, as far as the caller may see them. @returns the first `limit`, and how many there are */
  async asleep(caller: Caller, limit: number): Promise<{ items: IdleAnswer[]; total: number }> {
    const namespaces = await this.#guard.visible(caller);
    const items: IdleAnswer[] = [];
    let total = 0;
    let states: Map<string, PolicyState> | undefined;
    for await (const policy of allPolicies(this.#repository, namespaces)) {
      const elastiService = this.#elastiServices.of(policy);
      if (elastiService === undefined) {
        states ??= new Map((await this.#states.all()).map((state) => [state.policy_id, state]));
      }
      const now = this.#clock.now();
      const answer =
        elastiService === undefined
          ? byState(policy, states?.get(policy.id), now)
          : byElastiService(policy, elastiService, now);
      if (!answer.scaledToZero) continue;
      total += 1;
      if (items.length < limit) items.push(answer);
    }
    return { items, total };
  }
}

function byElastiService(policy: Policy, es: ElastiServiceState, nowMs: number): IdleAnswer {
  const scaledToZero = es.phase === "Asleep";
  return {
    policy,
    lastActivityMs: es.lastActiveMs,
    idleMs: es.lastActiveMs === undefined ? 0 : Math.max(0, nowMs - es.lastActiveMs),
    scaledToZero,
    scaledToZeroMs: scaledToZero ? es.sinceMs : undefined,
    lastWakeMs: es.lastWakeMs,
    wakeReason: es.lastWakeReason,
  };
}

function byState(policy: Policy, state: PolicyState | undefined, nowMs: number): IdleAnswer {
  const scaledToZero = state?.current_replicas === 0;
  const down = state?.last_scale_down_at ?? undefined;
  const up = state?.last_scale_up_at ?? undefined;
  const sinceMs = scaledToZero && down !== undefined ? Date.parse(down) : undefined;
  return {
    policy,
    lastActivityMs: undefined,
    idleMs: sinceMs === undefined ? 0 : Math.max(0, nowMs - sinceMs),
    scaledToZero,
    scaledToZeroMs: sinceMs,
    lastWakeMs: up === undefined ? undefined : Date.parse(up),
    wakeReason: undefined,
  };
}
