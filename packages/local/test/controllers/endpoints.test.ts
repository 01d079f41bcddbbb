import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, Service } from "@elasti/kube";
import { sliceLabels, wantedSlices } from "../../src/controllers/endpoints.ts";

function service(spec: Partial<Service["spec"]> = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default", labels: { team: "blue" } },
    spec: { clusterIP: "10.0.0.1", selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }], ...spec },
  };
}

function pod(
  name: string,
  options: {
    ready?: boolean;
    ip?: string;
    phase?: "Pending" | "Running" | "Succeeded" | "Failed";
    deleted?: boolean;
    port?: number;
  } = {},
): Pod {
  const { ready = true, ip = "10.1.0.1", phase = "Running", deleted = false, port = 8080 } = options;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "default",
      uid: `uid-${name}`,
      labels: { app: "web" },
      ...(deleted ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: { nodeName: "node-1", containers: [{ name: "app", ports: [{ name: "http", containerPort: port }] }] },
    status: {
      phase,
      ...(ip === "" ? {} : { podIP: ip }),
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  };
}

const conditions = (spec: Partial<Service["spec"]>, ...pods: Pod[]) =>
  wantedSlices(service(spec), pods).flatMap(({ endpoints }) => endpoints.map((endpoint) => endpoint.conditions));

test("an endpoint says which pod it is, where it runs and how it is", () => {
  assert.deepEqual(wantedSlices(service(), [pod("a")]), [
    {
      ports: [{ name: "", port: 8080, protocol: "TCP" }],
      endpoints: [
        {
          addresses: ["10.1.0.1"],
          conditions: { ready: true, serving: true, terminating: false },
          targetRef: { kind: "Pod", namespace: "default", name: "a", uid: "uid-a" },
          nodeName: "node-1",
        },
      ],
    },
  ]);
});

test("readiness and deletion give the three conditions", () => {
  assert.deepEqual(conditions({}, pod("a", { ready: false })), [{ ready: false, serving: false, terminating: false }]);
  assert.deepEqual(conditions({}, pod("a", { deleted: true })), [{ ready: false, serving: true, terminating: true }]);
  assert.deepEqual(conditions({}, pod("a", { deleted: true, ready: false })), [
    { ready: false, serving: false, terminating: true },
  ]);
  assert.deepEqual(conditions({ publishNotReadyAddresses: true }, pod("a", { ready: false, deleted: true })), [
    { ready: true, serving: false, terminating: true },
  ]);
});

test("pods without an address and pods that have ended are left out", () => {
  const none = [pod("a", { ip: "" }), pod("b", { phase: "Failed" }), pod("c", { phase: "Succeeded" })];
  assert.deepEqual(wantedSlices(service(), none), [{ ports: [], endpoints: [] }]);
});

test("pods whose named port differs make slices of their own", () => {
  const slices = wantedSlices(service(), [pod("a"), pod("b", { port: 9090, ip: "10.1.0.2" })]);
  assert.deepEqual(
    slices.map(({ ports, endpoints }) => [ports[0]?.port, endpoints.length]),
    [
      [8080, 1],
      [9090, 1],
    ],
  );
  const unknown = wantedSlices(service({ ports: [{ port: 80, targetPort: "grpc" }] }), [pod("a")]);
  assert.deepEqual(unknown[0]?.ports, []);
});

test("a slice carries the labels of its Service", () => {
  assert.deepEqual(sliceLabels(service({ clusterIP: "None" })), {
    team: "blue",
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    "service.kubernetes.io/headless": "",
  });
});
