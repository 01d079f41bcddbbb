export * from "./resources.ts";
export * from "./types.ts";
