import assert from "node:assert/strict";
import { test } from "node:test";
import type { Deployment, Pod } from "@elasti/kube";
import { deploymentStatus } from "../../src/controllers/deployment-status.ts";
import { planRollout, removalOrder, TEMPLATE_HASH_LABEL, templateHash } from "../../src/controllers/rollout.ts";

interface Facts {
  hash?: string;
  ready?: boolean;
  created?: number;
  node?: string;
  phase?: "Pending" | "Running";
  restarts?: number;
}

function pod(
  name: string,
  { hash = "new", ready = true, created = 0, node = name, phase = "Running", restarts = 0 }: Facts = {},
): Pod {
  const time = new Date(Date.UTC(2026, 0, 1) + created * 1000).toISOString();
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { [TEMPLATE_HASH_LABEL]: hash }, creationTimestamp: time, resourceVersion: "1" },
    spec: { nodeName: node, containers: [] },
    status: {
      phase,
      conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: time }],
      containerStatuses: [{ name: "app", ready, restartCount: restarts }],
    },
  };
}

const plan = (desired: number, ...pods: Pod[]) => {
  const { create, remove } = planRollout(desired, "new", pods, false);
  return [
    create,
    remove
      .map(({ metadata }) => metadata.name)
      .toSorted()
      .join(),
  ];
};

test("makes what is missing and removes what is too much", () => {
  assert.deepEqual(plan(3), [3, ""]);
  assert.deepEqual(plan(0), [0, ""]);
  assert.deepEqual(plan(1, pod("a", { created: 1 }), pod("b", { created: 2 })), [0, "b"]);
  assert.deepEqual(plan(0, pod("a"), pod("b")), [0, "a,b"]);
});

test("removes pending, unready, crowded, young and restarted pods first", () => {
  const order = removalOrder([
    pod("old", { created: 1 }),
    pod("young", { created: 9 }),
    pod("unready", { ready: false }),
    pod("pending", { ready: false, phase: "Pending" }),
    pod("crowded-1", { node: "x", created: 1 }),
    pod("crowded-2", { node: "x", created: 2 }),
  ]);
  assert.deepEqual(
    order.map(({ metadata }) => metadata.name),
    ["pending", "unready", "crowded-2", "crowded-1", "young", "old"],
  );
});

test("a new template comes one above the wanted number, and never takes a ready pod too early", () => {
  const old = (name: string, ready = true) => pod(name, { hash: "old", ready });
  assert.deepEqual(plan(2, old("a"), old("b")), [1, ""]);
  assert.deepEqual(plan(2, old("a"), old("b"), pod("c", { ready: false })), [0, ""]);
  assert.deepEqual(plan(2, old("a", true), pod("c"), pod("d", { ready: false })), [0, ""]);
  const [create, removed] = plan(2, old("a"), old("b"), pod("c"));
  assert.equal(create, 0);
  assert.match(String(removed), /^[ab]$/);
  assert.deepEqual(plan(2, old("a"), pod("c"), pod("d")), [0, "a"]);
  assert.deepEqual(plan(1, old("a", false)), [1, "a"]);
  assert.deepEqual(plan(0, old("a")), [0, "a"]);
});

test("a paused Deployment keeps old pods but still scales", () => {
  const { create, remove } = planRollout(2, "new", [pod("a", { hash: "old" })], true);
  assert.deepEqual([create, remove.length], [1, 0]);
});

const web: Deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", generation: 4 },
  spec: {
    replicas: 2,
    selector: {},
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "app" }] } },
  },
};

test("the template's hash does not depend on the order of its fields", () => {
  const container = { name: "app", image: "x" };
  const hashOf = (one: object) =>
    templateHash({ ...web, spec: { ...web.spec, template: { spec: { containers: [one as { name: string }] } } } });
  assert.equal(hashOf(container), hashOf({ image: "x", name: "app" }));
  assert.notEqual(hashOf(container), hashOf({ image: "y", name: "app" }));
});

test("the status counts live pods and leaves zeros out", () => {
  const status = deploymentStatus(web, "new", [pod("a"), pod("b", { hash: "old", ready: false })], 0);
  assert.deepEqual(
    {
      ...status,
      conditions: status.conditions?.map(({ type, status: state, reason }) => `${type} ${state} ${reason}`),
    },
    {
      observedGeneration: 4,
      replicas: 2,
      updatedReplicas: 1,
      readyReplicas: 1,
      availableReplicas: 1,
      unavailableReplicas: 1,
      conditions: ["Available False MinimumReplicasUnavailable", "Progressing True ReplicaSetUpdated"],
    },
  );
  const zero = deploymentStatus({ ...web, spec: { ...web.spec, replicas: 0 } }, "new", [], 0);
  assert.equal(Object.hasOwn(zero, "replicas"), false);
});
