export { elastiAccounts, type InstallOptions, installElasti } from "./install.ts";
export type { ElastiServiceOptions, Installation, PhaseWait, SampleApp } from "./installation.ts";
export { type Component, deploymentManifest, OPERATOR, RESOLVER, serviceManifests } from "./manifests.ts";
export type { ElastiProcess } from "./processes.ts";
export { pidOf } from "./processes.ts";
export { type SampleAppOptions, sampleAppManifests } from "./sample-app.ts";
