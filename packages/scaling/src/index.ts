export * from "./arbiter.ts";
export * from "./errors.ts";
export * from "./scale-handler.ts";
export * from "./scale-target.ts";
export * from "./scalers/scaler.ts";
export type { FenceRequest, FenceResult, WakeReason, WakeRequest, WakeResult, ZeroOutcome } from "./target-scale.ts";
