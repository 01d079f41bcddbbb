export * from "./contracts.ts";
export * from "./errors.ts";
export * from "./executors/executor.ts";
export * from "./schema/policy.ts";
export * from "./store/index.ts";
export * from "./targets/cluster-sources.ts";
export * from "./targets/target-types.ts";
