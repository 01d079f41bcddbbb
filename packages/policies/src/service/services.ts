import type { Clock, Logger } from "@elasti/core";
import type { Store } from "../contracts.ts";
import type { PolicyContext } from "../domain/normalize-context.ts";
import { type Access, Guard } from "./access.ts";
import type { ElastiServiceStates } from "./elasti-services.ts";
import { EvaluationService, type PolicyEvaluator } from "./evaluation.ts";
import { HistoryService, knownNamespaces } from "./history.ts";
import { IdleService } from "./idle.ts";
import { OverrideService, type Overrides } from "./overrides.ts";
import { PolicyService } from "./policies.ts";
import { policyRules } from "./policy-rules.ts";
import { SavingsService } from "./savings.ts";
import { WakeService } from "./wake.ts";

/** What the routes ask. */
export interface PolicyServices {
  readonly policies: PolicyService;
  readonly evaluation: EvaluationService;
  readonly history: HistoryService;
  readonly wakes: WakeService;
  readonly idle: IdleService;
  readonly savings: SavingsService;
  readonly overrides: OverrideService;
}

/** What the services ask: the store, the engine, and the operator around them. */
export interface PolicyServicesDeps {
  readonly store: Store;
  /** What policies may refer to. */
  readonly context: PolicyContext;
  readonly evaluator: PolicyEvaluator;
  readonly elastiServices: ElastiServiceStates;
  readonly overrides: Overrides;
  readonly access: Access;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a caller may wait for a target to be ready, in ms. */
  readonly readyMs?: number;
}

export function policyServices(deps: PolicyServicesDeps): PolicyServices {
  const { store, evaluator, elastiServices, access, clock, logger } = deps;
  const { policies: repository, states, history } = store;
  const guard = new Guard({
    access,
    namespaces: () => knownNamespaces(repository, () => elastiServices.namespaces()),
  });
  const policies = new PolicyService({ policies: repository, rules: policyRules(deps.context), guard, logger });
  return {
    policies,
    evaluation: new EvaluationService({ policies, states, evaluator, clock }),
    history: new HistoryService({ policies: repository, history, guard }),
    wakes: new WakeService({ policies, repository, elastiServices, access, clock, readyMs: deps.readyMs ?? 120_000 }),
    idle: new IdleService({ policies, repository, states, elastiServices, guard, clock }),
    savings: new SavingsService({ policies, repository, history, elastiServices, guard, clock }),
    overrides: new OverrideService({ overrides: deps.overrides, guard, clock }),
  };
}
