export * from "./crd.ts";
export * from "./elasti-service.ts";
export * from "./elasti-service-status.ts";
export * from "./messages.ts";
export * from "./names.ts";
export * from "./schema-kit.ts";
