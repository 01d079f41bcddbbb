export { type ResolverConfig, settings } from "./config.ts";
export { createResolver, type ProcessDependencies } from "./process.ts";
