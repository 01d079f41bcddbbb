export { looseDefinition } from "./loose-definition.ts";
export { type ApiServer, type ApiServerOptions, startApiServer } from "./server.ts";
export type { Store, StoreEvent } from "./store.ts";
