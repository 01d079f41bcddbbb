import { type Clock, ElastiError, errorText } from "@elasti/core";
import PQueue from "p-queue";
import type { PolicyRepository } from "../contracts.ts";
import { policyErrors } from "../errors.ts";
import type { Policy } from "../schema/policy.ts";
import type { Access, Caller } from "./access.ts";
import { within } from "./deadline.ts";
import type { ElastiServiceState, ElastiServiceStates, WakeReason } from "./elasti-services.ts";
import { allPolicies, namespaceOf, type PolicyService } from "./policies.ts";

/** What came of a wake. */
export interface WakeAnswer {
  readonly policyId: string;
  readonly reason: WakeReason;
  /** `completed`: it is awake. `in_progress`: it has been asked for. */
  readonly status: "completed" | "in_progress" | "failed";
  readonly previousReplicas: number | null;
  readonly targetReplicas: number | null;
  /** It was awake before. */
  readonly alreadyRunning: boolean;
  readonly message: string;
  /** Code of the failure. */
  readonly error?: string;
}

/** Wakes at once, of those that were asked for together. */
const concurrency = 8;

/** Wakes the ElastiServices that policies are about. */
export class WakeService {
  readonly #policies: PolicyService;
  readonly #repository: PolicyRepository;
  readonly #elastiServices: ElastiServiceStates;
  readonly #access: Access;
  readonly #clock: Clock;
  readonly #readyMs: number;

  /** @param deps.readyMs how long a caller may wait for a target to be ready */
  constructor(deps: {
    policies: PolicyService;
    repository: PolicyRepository;
    elastiServices: ElastiServiceStates;
    access: Access;
    clock: Clock;
    readyMs: number;
  }) {
    this.#policies = deps.policies;
    this.#repository = deps.repository;
    this.#elastiServices = deps.elastiServices;
    this.#access = deps.access;
    this.#clock = deps.clock;
    this.#readyMs = deps.readyMs;
  }

  /** @throws ELASTI_POLICY_NOT_FOUND, ELASTI_POLICY_NO_ELASTISERVICE, and what the wake failed with */
  async wake(
    caller: Caller,
    id: string,
    options: { reason: WakeReason; waitForReady: boolean; signal: AbortSignal },
  ): Promise<WakeAnswer> {
    const policy = await this.#policies.allowed(caller, "update", id);
    const { reason } = options;
    const elastiService = this.#elastiServices.of(policy);
    if (elastiService === undefined) {
      throw policyErrors.ELASTI_POLICY_NO_ELASTISERVICE(
        `no ElastiService looks after the target of policy ${policy.name}: an override at_least 1 brings it up`,
      );
    }
    const answer = await this.#wakeOne(policy, elastiService, reason);
    if (answer.status !== "in_progress" || !options.waitForReady) return answer;
    const serving = await this.#served(elastiService, options.signal);
    return serving ? { ...answer, status: "completed", message: "it is awake" } : answer;
  }

  /**
   * Wakes all that sleep and that the caller may wake, or those that are named; what fails is told in its answer.
   * @returns one answer for each that was named, or that slept
   */
  async wakeAll(caller: Caller, ids: readonly string[] | undefined, reason: WakeReason): Promise<WakeAnswer[]> {
    const queue = new PQueue({ concurrency });
    if (ids !== undefined) {
      return queue.addAll([...new Set(ids)].map((id) => () => this.#named(caller, id, reason)));
    }
    const asleep: [Policy, ElastiServiceState][] = [];
    for await (const policy of allPolicies(this.#repository)) {
      const elastiService = this.#elastiServices.of(policy);
      if (elastiService?.phase !== "Asleep") continue;
      if (await this.#access.mayPolicies(caller, "update", namespaceOf(policy))) asleep.push([policy, elastiService]);
    }
    return queue.addAll(
      asleep.map(
        ([policy, elastiService]) =>
          () =>
            this.#told(policy.id, reason, () => this.#wakeOne(policy, elastiService, reason)),
      ),
    );
  }

  #named(caller: Caller, id: string, reason: WakeReason): Promise<WakeAnswer> {
    const signal = AbortSignal.abort();
    return this.#told(id, reason, () => this.wake(caller, id, { reason, waitForReady: false, signal }));
  }

  async #told(policyId: string, reason: WakeReason, wake: () => Promise<WakeAnswer>): Promise<WakeAnswer> {
    try {
      return await wake();
    } catch (error) {
      // without a database, or without somebody who knows rights, none of them can be done
      if (!(error instanceof ElastiError)) throw error;
      const none = { previousReplicas: null, targetReplicas: null, alreadyRunning: false };
      return { policyId, reason, status: "failed", ...none, message: errorText(error), error: error.code };
    }
  }

  async #wakeOne(policy: Policy, elastiService: ElastiServiceState, reason: WakeReason): Promise<WakeAnswer> {
    const { namespace, name, phase } = elastiService;
    const { replicas } = await this.#elastiServices.wake(namespace, name, reason);
    const alreadyRunning = phase === "Serving";
    return {
      policyId: policy.id,
      reason,
      status: alreadyRunning ? "completed" : "in_progress",
      previousReplicas: phase === "Asleep" ? 0 : replicas,
      targetReplicas: replicas,
      alreadyRunning,
      message: alreadyRunning ? "it was awake" : "it wakes",
    };
  }

  #served({ namespace, name }: ElastiServiceState, caller: AbortSignal): Promise<boolean> {
    return within(this.#clock, this.#readyMs, caller, (signal) =>
      this.#elastiServices.serving(namespace, name, signal),
    );
  }
}
