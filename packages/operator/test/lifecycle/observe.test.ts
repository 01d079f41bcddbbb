import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { API_VERSION, KIND } from "@elasti/api";
import { resources, type Service } from "@elasti/kube";
import { type Facts, observe } from "../../src/lifecycle/observe.ts";

const at = (iso: string): number => Date.parse(iso);
const service: Service = { apiVersion: "v1", kind: "Service", metadata: { name: "web", namespace: "shop" }, spec: {} };
const facts: Facts = {
  es: {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name: "web", namespace: "shop" },
    spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
  },
  nowMs: at("2026-05-05T12:00:00Z"),
  service,
  refused: undefined,
  publicSlices: [],
  privateSlices: [],
  desiredSlices: [],
  slicesMatch: true,
  target: {
    kind: "found",
    ref: { namespace: "shop", resource: resources.deployments, name: "web" },
    replicas: 0,
    statusReplicas: 0,
    template: undefined,
    deleting: false,
  },
  namespaceGoing: false,
  parkBarred: false,
  answeredEpoch: 0,
  routedAtMs: 0,
  graceMs: 30_000,
  maySleep: false,
  wantsAwake: false,
  peersSealed: true,
  fence: "none",
  run: undefined,
  autoscalerDue: [],
};
const deleted = (deletionTimestamp: string, change: Partial<Facts> = {}) =>
  observe({ ...facts, ...change, es: { ...facts.es, metadata: { ...facts.es.metadata, deletionTimestamp } } });

describe("observe, of an ElastiService that is being deleted", () => {
  const now = "2026-05-05T11:59:50Z";

  it("puts back what was, and wakes the target", () => {
    assert.equal(observe(facts).lifecycle, "live");
    assert.equal(deleted(now).lifecycle, "restore");
  });

  it("wakes nothing when namespace, Service or target go too", () => {
    const gone: Partial<Facts>[] = [
      { namespaceGoing: true },
      { service: undefined },
      { service: { ...service, metadata: { ...service.metadata, deletionTimestamp: now } } },
      { target: { kind: "missing", reason: "TargetMissing", message: "" } },
    ];
    for (const change of gone) assert.equal(deleted(now, change).lifecycle, "release");
  });

  it("lets go of what could not be woken for ten minutes", () => {
    assert.equal(deleted("2026-05-05T11:50:01Z").lifecycle, "restore");
    assert.equal(deleted("2026-05-05T11:49:59Z").lifecycle, "release");
  });
});
