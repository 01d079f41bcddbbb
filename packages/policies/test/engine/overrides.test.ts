import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { API_VERSION, type ElastiService, KIND, OVERRIDE_ANNOTATION } from "@elasti/api";
import { resources } from "@elasti/kube";
import { overridesOn } from "../../src/engine/overrides.ts";

const nowMs = Date.UTC(2026, 4, 4);
const record = (by: string, inMs = 60_000) =>
  JSON.stringify({ kind: "awake", until: new Date(nowMs + inMs).toISOString(), by });
const workload = { namespace: "default", apiVersion: "apps/v1", kind: "Deployment", name: "web" };
const elastiService = (name: string, override?: string): ElastiService => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: {
    name,
    namespace: "default",
    ...(override === undefined ? {} : { annotations: { [OVERRIDE_ANNOTATION]: override } }),
  },
  spec: { service: name, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
});
/** Who has a say: on ElastiServices, and on the workload. */
const heeded = (own: readonly (string | undefined)[], onWorkload: string | undefined): string[] => {
  const elastiServices = own.map((override, index) => elastiService(`web-${index}`, override));
  const sources = {
    workload: () => ({
      kind: "found" as const,
      ref: { namespace: "default", resource: resources.deployments, name: "web" },
      replicas: 1,
      resourceVersion: "1",
      override: onWorkload,
    }),
  };
  const target = { kind: "found" as const, workload, writer: { kind: "scale" as const }, elastiServices };
  return overridesOn(target, sources, nowMs).map(({ by = "" }) => by.split("@")[0]!);
};

suite("overrides on a target", () => {
  const rows: [string, (string | undefined)[], string | undefined, string[]][] = [
    ["of a workload alone", [], record("bob"), ["bob"]],
    ["of a workload that an ElastiService names", [undefined], record("bob"), ["bob"]],
    ["of the ElastiService before the workload's", [record("ada")], record("bob"), ["ada"]],
    ["of the workload once the ElastiService's is over", [record("ada", -1)], record("bob"), ["bob"]],
    ["none where the ElastiService's cannot be read: somebody meant something", ["?"], record("bob"), []],
    ["of the workload for an ElastiService that has none", [record("ada"), undefined], record("bob"), ["ada", "bob"]],
  ];
  for (const [name, own, onWorkload, wanted] of rows)
    test(name, () => assert.deepEqual(heeded(own, onWorkload), wanted));
});
