import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Condition, ElastiService, ElastiServiceSpec } from "@elasti/api";
import { ElastiError } from "@elasti/core";
import { apiVersionOf, type KubeObject, resources, type Service } from "@elasti/kube";
import { request } from "./client.ts";
import { OPERATOR, startWorld, type World } from "./world.ts";

const target = (name: string, kind = "Deployment") => ({ apiVersion: "apps/v1", kind, name });

describe("bad input", { concurrency: 6 }, () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 1, resolvers: 1 });
  });
  after(() => world.close());

  const service = (name: string, spec: object) =>
    world.client.create(resources.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "default" },
      spec,
    } as KubeObject);

  function condition(name: string, type: string, fits: (condition: Condition) => boolean): Promise<Condition> {
    const find = (es: ElastiService | undefined) =>
      es?.status?.conditions?.find((one) => one.type === type && fits(one));
    return world.until<ElastiService, Condition>(`condition ${type}`, resources.elastiServices, "default", name, find);
  }

  async function notReady(name: string, reason: string, message: RegExp): Promise<void> {
    const ready = await condition(name, "Ready", (one) => one.reason === reason);
    assert.equal(ready.status, "False");
    assert.match(ready.message, message);
  }

  it("is refused by the API server with the path of the field", async () => {
    const refused = async (spec: object, message: RegExp) => {
      const whole = { service: "web", scaleTargetRef: target("web"), ...spec };
      await assert.rejects(world.elastiService("refused", whole as ElastiServiceSpec), (error: unknown) => {
        assert.ok(error instanceof ElastiError);
        assert.equal(error.code, "ELASTI_KUBE_INVALID");
        assert.match(error.message, message);
        return true;
      });
    };
    await refused({ cooldownPeriod: "soon" }, /spec\.cooldownPeriod: Invalid value: "string".*must be of type integer/);
    await refused(
      { triggers: [{ type: "kafka" }] },
      /spec\.triggers\[0\]\.type: Unsupported value: "kafka": supported values: "prometheus", "traffic"/,
    );
    await refused(
      { minTargetReplicas: 0 },
      /spec\.minTargetReplicas: Invalid value: 0.*should be greater than or equal to 1/,
    );
    await refused({ service: undefined }, /spec\.service: Required value/);
    await refused({ queue: { timeoutSeconds: 601 } }, /spec\.queue\.timeoutSeconds.*less than or equal to 600/);
    await refused({ routing: { mode: "Sometimes" } }, /spec\.routing\.mode: Unsupported value: "Sometimes"/);
  });

  it("names a Service that does not exist, and takes it up when it does", async () => {
    const web = await world.app({ name: "later", edit: ({ service }) => (service.metadata.name = "later-2") });
    await world.elastiService("later", { service: "later", scaleTargetRef: target("later") });
    await notReady("later", "ServiceMissing", /Service later does not exist: create it, or correct spec\.service/);
    await service("later", { selector: web.spec.selector, ports: [{ port: 8080 }] });
    await condition("later", "Ready", ({ status, reason }) => status === "True" && reason === "Asleep");
  });

  it("refuses headless, ExternalName and UDP-only Services, and leaves them as they are", async () => {
    const selector = { app: "bad" };
    const made = await Promise.all([
      service("headless", { clusterIP: "None", selector, ports: [{ port: 8080 }] }),
      service("alias", { type: "ExternalName", externalName: "example.com" }),
      service("datagrams", { selector, ports: [{ port: 53, protocol: "UDP" }] }),
    ]);
    await world.app({ name: "bad", replicas: 1 });
    for (const { metadata } of made)
      await world.elastiService(metadata.name, { service: metadata.name, scaleTargetRef: target("bad") });
    await notReady("headless", "HeadlessService", /name a Service with a cluster IP in spec\.service/);
    await notReady("alias", "ExternalNameService", /name a ClusterIP Service in spec\.service/);
    await notReady("datagrams", "UdpOnly", /datagrams cannot be held/);
    for (const before of made as unknown as Service[]) {
      const now = await world.client.get<Service>(resources.services, "default", before.metadata.name);
      assert.deepEqual([now.spec, now.metadata.annotations], [before.spec, before.metadata.annotations]);
    }
    assert.equal(
      (await world.get<KubeObject & { spec: { replicas: number } }>(resources.deployments, "default", "bad"))?.spec
        .replicas,
      1,
    );
  });

  it("waits for a target that does not exist yet", async () => {
    await service("early", { selector: { app: "early" }, ports: [{ port: 8080 }] });
    await world.elastiService("early", { service: "early", scaleTargetRef: target("early") });
    await notReady("early", "TargetMissing", /early/);
    await world.app({ name: "early", edit: ({ service }) => (service.metadata.name = "early-2") });
    await condition("early", "Ready", ({ status, reason }) => status === "True" && reason === "Asleep");
  });

  it("says that a kind has no scale subresource", async () => {
    await service("unscalable", { selector: { app: "unscalable" }, ports: [{ port: 8080 }] });
    await world.elastiService("unscalable", {
      service: "unscalable",
      scaleTargetRef: { apiVersion: "v1", kind: "ConfigMap", name: "unscalable" },
    });
    const ready = await condition("unscalable", "Ready", ({ reason }) => reason === "TargetNotScalable");
    assert.equal(ready.status, "False");
    assert.match(ready.message, /v1 ConfigMap has no scale subresource/);
  });

  it("finds a kind that is installed later", async () => {
    const rollouts = { group: "example.com", version: "v1", plural: "fleets", kind: "Fleet", namespaced: true };
    await service("fleet", { selector: { app: "fleet" }, ports: [{ port: 8080 }] });
    await world.elastiService("fleet", {
      service: "fleet",
      scaleTargetRef: { apiVersion: apiVersionOf(rollouts), kind: "Fleet", name: "fleet" },
    });
    const missing = await condition("fleet", "Ready", ({ status }) => status === "False");
    assert.match(missing.message, /Fleet|example\.com/);
    const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    await world.client.create(resources.customResourceDefinitions, {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "fleets.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names: { plural: "fleets", singular: "fleet", kind: "Fleet", listKind: "FleetList" },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: "object", properties: { spec: schema, status: schema } } },
            subresources: {
              status: {},
              scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
            },
          },
        ],
      },
    } as KubeObject);
    await world.served(rollouts);
    await world.client.create(rollouts, {
      apiVersion: "example.com/v1",
      kind: "Fleet",
      metadata: { name: "fleet", namespace: "default" },
      spec: { replicas: 0 },
    } as KubeObject);
    await condition("fleet", "Ready", ({ status, reason }) => status === "True" && reason === "Asleep");
  });

  it("gives a Service to the first of two ElastiServices", async () => {
    const web = await world.sleeper({ name: "contested", spec: { routing: { graceSeconds: 1 } } });
    await world.elastiService("zz-second", { service: "contested", scaleTargetRef: target("contested") });
    await notReady("zz-second", "DuplicateService", /ElastiService contested already has the Service contested/);
    assert.equal((await web.ask()).status, 200);
    await web.delete();
    await condition("zz-second", "Ready", ({ status }) => status === "True");
  });

  it("warns of another Service that leads to the same pods", async () => {
    const web = await world.sleeper({ name: "front" });
    await service("back-door", { selector: { app: "front" }, ports: [{ port: 8080 }] });
    const warning = await web.condition("UnmanagedServices", ({ status }) => status === "True");
    assert.match(warning.message, /Service back-door leads to the same pods without an ElastiService/);
    assert.equal((await web.ask()).status, 200);
  });

  it("says what is wrong with a trigger's metadata, field by field", async () => {
    const web = await world.sleeper({
      name: "metadata",
      replicas: 1,
      spec: {
        routing: { mode: "SelectorSwap" },
        triggers: [
          { type: "prometheus", metadata: { serverAddress: "prometheus:9090", threshold: "much" } },
          { type: "traffic" },
        ],
      },
    });
    const idle = await web.condition("Idle", ({ status }) => status === "Unknown");
    for (const text of [
      "triggers[0].metadata.serverAddress",
      "triggers[0].metadata.query",
      "triggers[0].metadata.threshold",
      "triggers[1]",
    ])
      assert.ok(idle.message.includes(text), `${text} in: ${idle.message}`);
  });

  it("answers malformed notifications clearly", async () => {
    const { spec } = await world.client.get<Service>(resources.services, world.system, OPERATOR);
    const resolver = await world.ground.resolverToken();
    const post = (body: string, token: string | undefined = resolver, method = "POST") =>
      request({
        host: spec.clusterIP ?? "",
        port: 8013,
        path: "/informer/incoming-request",
        method,
        headers: {
          "content-type": "application/json",
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body,
      });
    const good = JSON.stringify({ count: 1, svc: "nobody", namespace: "default" });
    const cases: [string, Promise<{ status: number; text: string }>, number, RegExp][] = [
      ["JSON", post("{"), 400, /the body is not JSON/],
      ["fields", post(JSON.stringify({ count: -1, svc: "web" })), 400, /namespace.*expected a namespace/],
      [
        "size",
        post(JSON.stringify({ count: 1, svc: "web", namespace: "x".repeat(20_000) })),
        413,
        /at most 16384 bytes/,
      ],
      ["service", post(good), 404, /no ElastiService in namespace default names the service nobody/],
      ["token", post(good, "made-up"), 401, /token is unknown|API server does not accept it/],
      ["method", post(good, resolver, "PUT"), 405, /expected POST/],
    ];
    for (const [what, asked, status, text] of cases) {
      const answer = await asked;
      assert.equal(answer.status, status, what);
      assert.match(answer.text, text, what);
      assert.ok(JSON.parse(answer.text).reason !== undefined, what);
    }
    const anonymous = await request({
      host: spec.clusterIP ?? "",
      port: 8013,
      path: "/informer/incoming-request",
      method: "POST",
      body: good,
    });
    assert.equal(anonymous.status, 401);
  });
});
