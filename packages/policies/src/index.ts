export { type CallersOptions, TokenCallers, type TokenReviewer } from "./access/callers.ts";
export { KubeAccess, type KubeAccessOptions } from "./access/kube-access.ts";
export * from "./contracts.ts";
export { policyBody, ruleBody, scheduleBody } from "./domain/body.ts";
export { conditionKey, conditionText } from "./domain/conditions.ts";
export { type Decided, decide } from "./domain/decide.ts";
export { metricKey, metricsOf, metricText } from "./domain/metric-key.ts";
export { applyChange, changeProblems, type Normalized, normalizePolicy } from "./domain/normalize.ts";
export type { PolicyContext } from "./domain/normalize-context.ts";
export { type DaySavings, type Savings, type SavingsInput, savingsOf } from "./domain/savings.ts";
export { decisionMark, initialState } from "./domain/state.ts";
export type { DecideInput } from "./domain/wants.ts";
export * from "./engine/contracts.ts";
export { type Evaluated, Evaluator } from "./engine/evaluator.ts";
export { type EngineHealth, PolicyEngine } from "./engine/policy-engine.ts";
export { Releaser } from "./engine/releaser.ts";
export * from "./errors.ts";
export { type AutoscalerObject, BoundsExecutor } from "./executors/bounds-executor.ts";
export * from "./executors/executor.ts";
export { ScaleExecutor } from "./executors/scale-executor.ts";
export { POLICY_API, policyApiDocument } from "./http/operations.ts";
export { type PolicyRoutesDeps, policyRoutes } from "./http/plugin.ts";
export * from "./metrics/index.ts";
export * from "./open-policies.ts";
export * from "./schema/policy.ts";
export { type FieldProblem, schemaProblems } from "./schema/problems.ts";
export type { Access, Caller, Callers, PolicyVerb } from "./service/access.ts";
export {
  type ElastiServiceState,
  type ElastiServiceStates,
  type WakeReason,
  wakeReasons,
} from "./service/elasti-services.ts";
export type { Evaluation, PolicyEvaluator } from "./service/evaluation.ts";
export type { Overrides, OverrideTarget } from "./service/overrides.ts";
export { type PolicyServices, type PolicyServicesDeps, policyServices } from "./service/services.ts";
export * from "./store/index.ts";
export * from "./targets/cluster-sources.ts";
export * from "./targets/target-resolver.ts";
export * from "./targets/target-types.ts";
