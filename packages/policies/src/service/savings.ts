import { AnswerCache, type Clock } from "@elasti/core";
import PQueue from "p-queue";
import type { HistoryRepository, PolicyRepository } from "../contracts.ts";
import { type Savings, savingsOf } from "../domain/savings.ts";
import { policyErrors } from "../errors.ts";
import type { Policy, PolicyTarget } from "../schema/policy.ts";
import type { Caller, Guard } from "./access.ts";
import type { ElastiServiceStates } from "./elasti-services.ts";
import { allPolicies, type PolicyService } from "./policies.ts";

const dayMs = 86_400_000;
/** Reads of history at once for one summary. */
const concurrency = 4;

export interface PolicySavings {
  readonly policyId: string;
  readonly policyName: string;
  readonly savings: Savings;
}

export interface SavingsSummary {
  /** Those that slept longest come first. */
  readonly policies: readonly PolicySavings[];
  readonly policyCount: number;
  readonly total: { readonly hours: number; readonly replicaHours: number; readonly money: number };
}

/** Hours slept and what they saved, from history and the price per replica hour. */
export class SavingsService {
  readonly #policies: PolicyService;
  readonly #repository: PolicyRepository;
  readonly #history: HistoryRepository;
  readonly #elastiServices: Pick<ElastiServiceStates, "of">;
  readonly #guard: Guard;
  readonly #clock: Clock;
  /** A summary reads the history of every target; those who ask within a minute share one. */
  readonly #summaries: AnswerCache<SavingsSummary>;

  constructor(deps: {
    policies: PolicyService;
    repository: PolicyRepository;
    history: HistoryRepository;
    elastiServices: Pick<ElastiServiceStates, "of">;
    guard: Guard;
    clock: Clock;
  }) {
    this.#policies = deps.policies;
    this.#repository = deps.repository;
    this.#history = deps.history;
    this.#elastiServices = deps.elastiServices;
    this.#guard = deps.guard;
    this.#clock = deps.clock;
    this.#summaries = new AnswerCache<SavingsSummary>(deps.clock, {
      keepMs: () => 60_000,
      maxEntries: 32,
      maxPending: 4,
      busy: () => policyErrors.ELASTI_POLICY_BUSY("too many summaries are being made"),
    });
  }

  /** @throws ELASTI_POLICY_NOT_FOUND */
  async ofPolicy(caller: Caller, id: string, days: number): Promise<PolicySavings> {
    const policy = await this.#policies.allowed(caller, "get", id);
    return this.#savings(this.#priced(policy), days);
  }

  async summary(caller: Caller, days: number, namespace: string | undefined): Promise<SavingsSummary> {
    const visible = await this.#guard.visible(caller, namespace);
    const namespaces = namespace === undefined ? visible : [namespace];
    return this.#summaries.get(JSON.stringify([days, namespaces ?? null]), () => this.#summary(days, namespaces));
  }

  async #summary(days: number, namespaces: readonly string[] | undefined): Promise<SavingsSummary> {
    const priced: Priced[] = [];
    for await (const policy of allPolicies(this.#repository, namespaces)) priced.push(this.#priced(policy));
    const queue = new PQueue({ concurrency });
    const policies = await queue.addAll(priced.map((policy) => () => this.#savings(policy, days)));
    // several policies may be about one target: what it saved counts once
    const counted = new Map<string, Savings>();
    for (const [index, { targets }] of priced.entries()) {
      const { savings } = policies[index]!;
      const about = targets.at(-1);
      const key =
        about === undefined ? "" : JSON.stringify([about.namespace, about.name, about.api_version, about.kind]);
      if ((counted.get(key)?.money_saved ?? null) === null) counted.set(key, savings);
    }
    const total = { hours: 0, replicaHours: 0, money: 0 };
    for (const { hours_slept, replica_hours_saved, money_saved } of counted.values()) {
      total.hours += hours_slept;
      total.replicaHours += replica_hours_saved;
      total.money += money_saved ?? 0;
    }
    policies.sort((a, b) => b.savings.hours_slept - a.savings.hours_slept || (a.policyName < b.policyName ? -1 : 1));
    return { policies, policyCount: policies.length, total };
  }

  async #savings({ id, name, targets, price, usualReplicas }: Priced, days: number): Promise<PolicySavings> {
    const nowMs = this.#clock.now();
    const sinceMs = nowMs - days * dayMs;
    const [since, until] = [new Date(sinceMs).toISOString(), new Date(nowMs).toISOString()];
    const found = await Promise.all(targets.map((target) => this.#history.sleepsOf(target, since, until)));
    const entries = found.flat().sort((a, b) => Date.parse(a.executed_at) - Date.parse(b.executed_at));
    const savings = savingsOf({ entries, sinceMs, untilMs: nowMs, nowMs, pricePerReplicaHour: price, usualReplicas });
    return { policyId: id, policyName: name, savings };
  }

  #priced(policy: Policy): Priced {
    const { target_ref: target } = policy;
    const asleep = this.#elastiServices.of(policy);
    return {
      id: policy.id,
      name: policy.name,
      targets: [
        ...(target === null ? [] : [target]),
        // what sleeps is written down by the name of the ElastiService
        ...(asleep === undefined ? [] : [{ namespace: asleep.namespace, name: asleep.name, kind: "ElastiService" }]),
      ],
      price: policy.price_per_replica_hour,
      usualReplicas: Math.max(1, policy.min_replicas),
    };
  }
}

/** What savings are counted from; of thousands of policies no more is kept in mind. */
interface Priced {
  readonly id: string;
  readonly name: string;
  /** Objects by whose names sleeps are in history; the last one says what policies are about together. */
  readonly targets: readonly PolicyTarget[];
  readonly price: number | null;
  readonly usualReplicas: number;
}
