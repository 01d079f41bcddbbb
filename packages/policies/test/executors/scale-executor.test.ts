import assert from "node:assert/strict";
import { test } from "node:test";
import { API_VERSION, type ElastiService, KIND } from "@elasti/api";
import { type FoundTarget, ScaleExecutor } from "../../src/index.ts";
import { Cluster } from "../engine/world.ts";

const workload = { namespace: "default", name: "web", apiVersion: "apps/v1", kind: "Deployment" };
const elastiService: ElastiService = {
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name: "web", namespace: "default" },
  spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
};

test("crosses zero only where no ElastiService names the target, when it was decided and when it is written", async () => {
  const cluster = new Cluster();
  cluster.workloads.set("default/web", { replicas: 1, version: 1 });
  const asked: (boolean | undefined)[] = [];
  const writer = {
    read: cluster.read.bind(cluster),
    set: async (request: Parameters<Cluster["set"]>[0]) => {
      asked.push(request.mayCrossZero);
      return { outcome: "one-door", state: undefined } as const;
    },
  };
  const executor = new ScaleExecutor(cluster, writer);
  const target: FoundTarget = { kind: "found", workload, writer: { kind: "scale" }, elastiServices: [] };
  const wanted = { policy: "p", resourceVersion: "1", replicas: 0 };
  await executor.apply(target, wanted, "idle");
  // made while the metrics were read
  cluster.elastiServices.push(elastiService);
  await executor.apply(target, wanted, "idle");
  await executor.apply({ ...target, elastiServices: [elastiService] }, wanted, "idle");
  assert.deepEqual(asked, [true, false, false]);
});
