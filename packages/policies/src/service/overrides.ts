import { type Clock, ElastiError } from "@elasti/core";
import { type Override, type OverrideState, parseOverride } from "@elasti/scaling";
import { policyErrors } from "../errors.ts";
import type { Caller, Guard } from "./access.ts";

/** Kinds as the API writes them; in the annotation `at_least` is `at-least`. */
export const overrideKinds = ["pin", "pause", "at_least", "awake", "asleep"] as const;
export type OverrideKind = (typeof overrideKinds)[number];

/** The object that an override is about: kind as in `Deployment`, `elastiservice` or `rollouts.argoproj.io`. */
export interface OverrideTarget {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
}

export interface NewOverride {
  readonly kind: OverrideKind;
  /** Of `pin` and `at_least`. */
  readonly replicas?: number;
  /** RFC 3339. */
  readonly until: string;
  readonly reason: string;
}

/**
 * Overrides, as they are kept on their targets. Methods throw ELASTI_POLICY_TARGET_NOT_FOUND for an object or a kind that is not
 * there, and what the cluster says.
 */
export interface Overrides {
  get(target: OverrideTarget): Promise<OverrideState>;
  /** Takes the place of one that is there. */
  put(target: OverrideTarget, override: Override): Promise<void>;
  /** @returns whether there was one */
  delete(target: OverrideTarget, by: string): Promise<boolean>;
}

/** Longest name that is kept of who wants an override. */
const maxName = 253;

/** Overrides, for callers. */
export class OverrideService {
  readonly #overrides: Overrides;
  readonly #guard: Guard;
  readonly #clock: Clock;

  constructor(deps: { overrides: Overrides; guard: Guard; clock: Clock }) {
    this.#overrides = deps.overrides;
    this.#guard = deps.guard;
    this.#clock = deps.clock;
  }

  /** One that is there: in force, over, or not understood. @throws ELASTI_POLICY_NO_OVERRIDE */
  async get(caller: Caller, target: OverrideTarget): Promise<Exclude<OverrideState, { state: "none" }>> {
    await this.#guard.policies(caller, "get", target.namespace);
    const found = await this.#overrides.get(target);
    if (found.state === "none") throw none(target);
    return found;
  }

  /** @throws ELASTI_POLICY_INVALID */
  async put(caller: Caller, target: OverrideTarget, wanted: NewOverride): Promise<Override> {
    const override = this.#parsed(caller, wanted);
    await this.#guard.policies(caller, "update", target.namespace);
    await this.#overrides.put(target, override);
    return override;
  }

  /** @throws ELASTI_POLICY_NO_OVERRIDE */
  async delete(caller: Caller, target: OverrideTarget): Promise<void> {
    await this.#guard.policies(caller, "update", target.namespace);
    if (!(await this.#overrides.delete(target, caller.name))) throw none(target);
  }

  #parsed(caller: Caller, { kind, ...rest }: NewOverride): Override {
    const record = { kind: kind === "at_least" ? "at-least" : kind, ...rest, by: caller.name.slice(0, maxName) };
    try {
      return parseOverride(JSON.stringify(record), this.#clock.now());
    } catch (error) {
      if (!(error instanceof ElastiError)) throw error;
      throw policyErrors.ELASTI_POLICY_INVALID(error.message, { cause: error, details: error.details });
    }
  }
}

const none = ({ namespace, kind, name }: OverrideTarget) =>
  policyErrors.ELASTI_POLICY_NO_OVERRIDE(`${kind} ${namespace}/${name} has no override`);
