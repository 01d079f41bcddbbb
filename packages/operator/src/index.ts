export { type OperatorConfig, operatorSettings } from "./config.ts";
export { hasPods, isKubeElasti } from "./controller/other-operator.ts";
export { checkService } from "./controller/service-check.ts";
export { operatorErrors } from "./errors.ts";
export { createOperator, type OperatorDeps } from "./operator.ts";
export { policyReference } from "./policy-reference.ts";
export { hasPolicyBounds, isToldOfSleep, restoreFormerBounds } from "./restore/former-bounds.ts";
export { createRestorer, longestRestoreMs, type RestorerOptions } from "./restore/restorer.ts";
