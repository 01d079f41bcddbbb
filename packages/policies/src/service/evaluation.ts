import { type Clock, formatDuration } from "@elasti/core";
import type { Decision, HistoryEntry, PolicyState, StateRepository } from "../contracts.ts";
import { policyErrors } from "../errors.ts";
import type { Policy } from "../schema/policy.ts";
import type { Caller } from "./access.ts";
import { within } from "./deadline.ts";
import type { PolicyService } from "./policies.ts";

/** What came of an evaluation that was asked for. */
export interface Evaluation {
  readonly decision: Decision;
  readonly outcome: HistoryEntry["outcome"];
  /** Why it failed, where it did. */
  readonly message?: string;
}

/** The engine, as far as the API asks it. */
export interface PolicyEvaluator {
  /**
   * Evaluates a policy now, enabled or not. Dry: no replicas, no bounds and no state are changed.
   * @param options.by who asked, for history
   * @throws ELASTI_POLICY_NOT_LEADING where it is not dry and another replica has to do it
   */
  evaluate(policy: Policy, options: { dryRun: boolean; by: string; signal: AbortSignal }): Promise<Evaluation>;
}

export interface StateAnswer {
  readonly policy: Policy;
  /** Undefined before the first evaluation. */
  readonly state: PolicyState | undefined;
  /** When the last of the cooldowns that run now ends, in ms; undefined where none runs. */
  readonly cooldownEndsMs: number | undefined;
}

/** The longest that a caller waits for an evaluation; the engine has shorter deadlines of its own. */
const evaluationMs = 60_000;

/** What a policy decides, now and of late. */
export class EvaluationService {
  readonly #policies: PolicyService;
  readonly #states: StateRepository;
  readonly #evaluator: PolicyEvaluator;
  readonly #clock: Clock;

  constructor(deps: { policies: PolicyService; states: StateRepository; evaluator: PolicyEvaluator; clock: Clock }) {
    this.#policies = deps.policies;
    this.#states = deps.states;
    this.#evaluator = deps.evaluator;
    this.#clock = deps.clock;
  }

  /**
   * Whoever may read a policy may ask what it would do; to have it done is a change.
   * @throws ELASTI_POLICY_NOT_FOUND, ELASTI_POLICY_TIMEOUT, what the engine throws, and the reason of `signal`
   */
  async evaluate(caller: Caller, id: string, options: { dryRun: boolean; signal: AbortSignal }): Promise<Evaluation> {
    const policy = await this.#policies.allowed(caller, options.dryRun ? "get" : "update", id);
    const { dryRun } = options;
    return within(this.#clock, evaluationMs, options.signal, async (signal, isLate) => {
      try {
        return await this.#evaluator.evaluate(policy, { dryRun, by: caller.name, signal });
      } catch (error) {
        if (!isLate()) throw error;
        throw policyErrors.ELASTI_POLICY_TIMEOUT(`it took longer than ${formatDuration(evaluationMs)}`, {
          cause: error,
        });
      }
    });
  }

  async state(caller: Caller, id: string): Promise<StateAnswer> {
    const policy = await this.#policies.allowed(caller, "get", id);
    const state = await this.#states.get(id);
    const ends = state === undefined ? [] : cooldownEnds(policy, state).filter((at) => at > this.#clock.now());
    return { policy, state, cooldownEndsMs: ends.length === 0 ? undefined : Math.max(...ends) };
  }
}

/** When the cooldown of each direction ends, in ms, past or not. */
function cooldownEnds(policy: Policy, state: PolicyState): number[] {
  const { behavior, cooldown_seconds } = policy;
  const ends = (at: string | null, seconds = cooldown_seconds) =>
    at === null ? [] : [Date.parse(at) + 1_000 * seconds];
  return [
    ...ends(state.last_scale_up_at, behavior.scale_up?.cooldown_seconds),
    ...ends(state.last_scale_down_at, behavior.scale_down?.cooldown_seconds),
  ];
}
