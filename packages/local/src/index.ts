export * from "./api-server/index.ts";
export * from "./cluster.ts";
export { AddressPlan, nodeOfAddress } from "./node/address-plan.ts";
export type { RestartSettings } from "./node/restart-backoff.ts";
export { sampleAppPath } from "./node/sample-app.ts";
export type { ServiceDelay } from "./services/node-table.ts";
export type { Backend } from "./services/routes.ts";
export type { ServiceProxy } from "./services/service-proxy.ts";
