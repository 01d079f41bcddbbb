export * from "./contracts.ts";
export * from "./errors.ts";
export * from "./schema/policy.ts";
