import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { privateServiceName, resolverSliceName } from "@elasti/api";
import { type KubeObject, resources } from "@elasti/kube";
import { parse } from "yaml";
import { request } from "./client.ts";
import { hostAddress, OPERATOR, RESOLVER, startWorld, type World } from "./world.ts";

const prometheusTrigger = `
apiVersion: elasti.truefoundry.com/v1alpha1
kind: ElastiService
metadata:
  name: httpbin
  namespace: default
spec:
  minTargetReplicas: 1
  service: httpbin
  cooldownPeriod: 5
  scaleTargetRef:
    apiVersion: apps/v1
    kind: deployments
    name: httpbin
  triggers:
    - type: prometheus
      metadata:
        query: sum(rate(nginx_ingress_controller_nginx_process_requests_total[1m])) or vector(0)
        serverAddress: http://kube-prometheus-stack-prometheus.monitoring.svc.cluster.local:9090
        threshold: "0.5"
`;

const withKeda = `
apiVersion: elasti.truefoundry.com/v1alpha1
kind: ElastiService
metadata:
  name: target-elastiservice
  namespace: default
spec:
  service: target-deployment
  minTargetReplicas: 2
  cooldownPeriod: 900
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: target-deployment
  triggers:
    - type: prometheus
      metadata:
        query: round(sum(rate(envoy_http_downstream_rq_total{container="istio-proxy"}[1m])),0.001) or vector(0)
        serverAddress: http://prometheus.monitoring:9090
        threshold: "0.01"
        uptimeFilter: container="prometheus"
        headers:
          Authorization: Bearer abc
  autoscaler:
    name: target-scaledobject
    type: keda
`;

const withPeriodAndProbes = `
apiVersion: elasti.truefoundry.com/v1alpha1
kind: ElastiService
metadata:
  name: office
  namespace: default
spec:
  service: office
  minTargetReplicas: 1
  scaleTargetRef:
    apiVersion: argoproj.io/v1alpha1
    kind: rollouts
    name: office
  enabledPeriod:
    schedule: "0 9 * * 1-5"
    duration: "8h"
  probeResponse:
    - path:
        type: Exact
        value: /healthz
      method: GET
      headers:
        - name: User-Agent
          type: RegularExpression
          value: ^kube-probe/.*
      response:
        status: 200
        body: '{"status":"ok"}'
  triggers:
    - type: prometheus
      metadata:
        query: vector(0)
        threshold: "1"
`;

describe("KubeElasti's manifests and habits", { concurrency: 3 }, () => {
  let world: World;
  before(async () => {
    await once(prometheus.listen(0, hostAddress), "listening");
    world = await startWorld({
      operators: 1,
      resolvers: 1,
      operatorEnv: {
        WATCH_NAMESPACES: "default",
        PROMETHEUS_TRIGGER_SERVER_ADDRESS: `http://${hostAddress}:${(prometheus.address() as AddressInfo).port}`,
        PROMETHEUS_TRIGGER_AUTHORIZATION_HEADER: "Bearer of-the-operator",
      },
      resolverEnv: { KUBERNETES_CLUSTER_DOMAIN: "corp.internal" },
    });
  });
  after(async () => {
    await world?.close();
    prometheus.close();
  });
  const asked: (string | undefined)[] = [];
  /** Says 1 to everything. */
  const prometheus = createServer((request, response) => {
    asked.push(request.headers.authorization);
    const result = [{ metric: {}, value: [Date.now() / 1_000, "1"] }];
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ status: "success", data: { resultType: "vector", result } }));
  });

  for (const [name, text] of Object.entries({ prometheusTrigger, withKeda, withPeriodAndProbes })) {
    it(`applies unchanged: ${name}`, async () => {
      const manifest = parse(text) as KubeObject & { spec: Record<string, unknown> };
      const stored = await world.client.create<typeof manifest>(resources.elastiServices, structuredClone(manifest));
      // nothing of it is pruned or changed
      assert.partialDeepStrictEqual(stored.spec, manifest.spec);
    });
  }

  it("wakes httpbin through its plural kind, under KubeElasti's object names", async () => {
    await world.app({ name: "httpbin" });
    const ready = (es: KubeObject | undefined) => JSON.stringify(es ?? {}).includes('"podsGone":true');
    await world.until("asleep", resources.elastiServices, "default", "httpbin", ready);
    assert.ok(await world.get(resources.services, "default", privateServiceName("httpbin")));
    const routed = (slice: KubeObject | undefined) => slice !== undefined;
    await world.until("slice", resources.endpointSlices, "default", resolverSliceName("httpbin"), routed);
    const { spec } = await world.client.get<KubeObject & { spec: { clusterIP: string } }>(
      resources.services,
      "default",
      "httpbin",
    );
    await world.backends({ namespace: "default", name: "httpbin" }, (ports) => ports.length > 0);
    assert.equal((await request({ host: spec.clusterIP, port: 8080 })).status, 200);
  });

  it("answers its notification with its sentence", async () => {
    const web = await world.sleeper({ name: "notified" });
    const { spec } = await world.client.get<KubeObject & { spec: { clusterIP: string } }>(
      resources.services,
      world.system,
      OPERATOR,
    );
    const token = await world.ground.resolverToken();
    const answer = await request({
      host: spec.clusterIP,
      port: 8013,
      path: "/informer/incoming-request",
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ count: 1, svc: "notified", namespace: "default" }),
    });
    assert.equal(answer.status, 200);
    assert.equal(JSON.parse(answer.text).message, "Request received successfully!");
    assert.equal(await web.replicas(), 1);
  });

  it("understands its environment: default Prometheus with its authorization, and namespaces", async () => {
    const namespace = await world.namespace("unwatched");
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "outside" };
    await world.elastiService("outside", { service: "outside", scaleTargetRef }, namespace);
    const trigger = { type: "prometheus" as const, metadata: { query: "up", threshold: "0.5" } };
    const web = await world.sleeper({ name: "asks", replicas: 1, spec: { triggers: [trigger] } });
    await web.condition("Idle", ({ reason }) => reason === "AtOrAboveThreshold");
    assert.ok(asked.length > 0 && asked.every((header) => header === "Bearer of-the-operator"));
    const outside = await world.client.get<KubeObject & { status?: object }>(
      resources.elastiServices,
      namespace,
      "outside",
    );
    assert.equal(outside.status, undefined);
    await world.client.delete(resources.namespaces, undefined, namespace);
  });

  it("answers by host name on 8012, under the cluster's domain, and tells whether requests wait", async () => {
    const web = await world.sleeper({ name: "hosted", startMs: 1_500 });
    const { spec } = await world.client.get<KubeObject & { spec: { clusterIP: string } }>(
      resources.services,
      world.system,
      RESOLVER,
    );
    await web.queued(false);
    const held = request({ host: spec.clusterIP, port: 8012, headers: { host: "hosted.default.svc.corp.internal" } });
    await web.queued(true);
    assert.equal((await held).status, 200);
  });
});
