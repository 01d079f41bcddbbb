// With its database drivers it is as large as the whole operator, so it is a file of its own, read only where the engine is on.
export { openPolicies } from "../../../packages/policies/src/index.ts";
