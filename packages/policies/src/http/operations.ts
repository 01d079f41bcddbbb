import type { PolicyServices } from "../service/services.ts";
import { openApiDocument } from "./document.ts";
import type { Operation } from "./operation.ts";
import { evaluationOperations } from "./operations/evaluation.ts";
import { overrideOperations } from "./operations/overrides.ts";
import { policyOperations } from "./operations/policies.ts";
import { sleepOperations } from "./operations/sleep.ts";

/** Where the API is. */
export const POLICY_API = "/api/v1/scaling";

/** Every route of the API. */
export const policyApi = (services: PolicyServices): Operation[] => [
  ...policyOperations(services, POLICY_API),
  ...evaluationOperations(services),
  ...sleepOperations(services),
  ...overrideOperations(services),
];

/** The OpenAPI document of the API. */
export function policyApiDocument(): Readonly<Record<string, unknown>> {
  // handlers ask services, and none of them is called
  return openApiDocument(policyApi({} as PolicyServices), POLICY_API);
}
