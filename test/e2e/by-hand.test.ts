import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type Deployment, resources, type Service } from "@elasti/kube";
import { request, Traffic } from "./client.ts";
import { RESOLVER, startWorld, type World } from "./world.ts";

/** Always unknown, so that nothing here sleeps by itself. */
const unknown = {
  type: "prometheus" as const,
  metadata: { serverAddress: "http://127.0.0.1:9", query: "up", threshold: 1 },
};
const spec = { triggers: [unknown], routing: { graceSeconds: 1 } };

describe("what people change by hand", { concurrency: 6 }, () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 2, resolvers: 2 });
  });
  after(() => world.close());

  it("leads clients to the resolvers when somebody scales to zero, and back when somebody scales up", async () => {
    const web = await world.sleeper({ name: "manual", replicas: 1, spec });
    await web.direct();
    await web.scaleByHand(0);
    const asleep = await web.reaches("Asleep", {
      when: ({ status }) => status?.podsGone === true && status.mode === "proxy",
    });
    await web.scaleByHand(1);
    await web.reaches("Serving", { after: asleep.status?.epoch ?? 0, when: ({ status }) => status?.mode === "serve" });
    await web.direct();
    assert.ok(await world.isDirect(await web.ask("/", world.clientOptions)));
  });

  it("answers every request while somebody scales up, again and again", async () => {
    const web = await world.sleeper({ name: "upanddown", startMs: 100, spec });
    for (let round = 0; round < 3; round++) {
      await using traffic = new Traffic(() => web.ask(), 25);
      const before = await web.epoch();
      await web.scaleByHand(1);
      await web.reaches("Serving", { after: before, when: ({ status }) => status?.mode === "serve" });
      const { failures, answers } = await traffic.stop();
      assert.deepEqual(failures, []);
      assert.ok(answers.length > 0);
      // a pod that is being terminated finishes what it has begun; nothing is asked meanwhile
      const awake = await web.epoch();
      // resolvers report once a second: a count of holds from before would be taken for a wish to be awake
      await pause(1_200);
      await web.scaleByHand(0);
      await web.sleeps({ after: awake });
      await world.backends(web, (ports) => ports.every((port) => port >= 10_000) && ports.length > 0);
    }
  });

  it("takes on ports and a selector that are edited while it sleeps", async () => {
    const web = await world.sleeper({ name: "edited", spec });
    const before = (await web.es()).status?.routes ?? [];
    await world.client.patch(resources.services, "default", "edited", "merge", {
      spec: {
        selector: { app: "edited", tier: "front" },
        ports: [
          { name: "http", port: 8080, targetPort: 8080, protocol: "TCP" },
          { name: "more", port: 8090, targetPort: 8080, protocol: "TCP" },
        ],
      },
    });
    const template = { metadata: { labels: { app: "edited", tier: "front" } } };
    await world.client.patch(resources.deployments, "default", "edited", "merge", { spec: { template } });
    const es = await web.reaches("Asleep", { when: ({ status }) => status?.routes?.length === 2 });
    assert.equal(es.status?.routes?.[0]?.resolverPort, before[0]?.resolverPort);
    const moved = es.status?.routes?.[1]?.resolverPort ?? 0;
    await world.backends(web, (ports) => ports.includes(moved));
    const answered = await request({ host: web.host, port: 8090 });
    assert.deepEqual(
      [answered.status, answered.text.split("-")[0]],
      [200, "hello from edited"],
      JSON.stringify(answered),
    );
    await web.direct();
    const { spec: now } = await web.publicService();
    assert.deepEqual(now.selector, { app: "edited", tier: "front" });
    assert.equal((await web.ask()).status, 200);
  });

  it("begins when ElastiService comes before its Service and its target", async () => {
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "early" };
    await world.elastiService("early", { service: "early", scaleTargetRef, ...spec });
    await world.until(
      "degraded",
      resources.elastiServices,
      "default",
      "early",
      (es) => JSON.stringify(es ?? {}).includes("Degraded") || undefined,
    );
    const service = await world.app({ name: "early" });
    await world.until(
      "asleep",
      resources.elastiServices,
      "default",
      "early",
      (es) => JSON.stringify(es ?? {}).includes('"podsGone":true') || undefined,
    );
    await world.backends({ namespace: "default", name: "early" }, (ports) => ports.length > 0);
    const { clusterIP = "", ports = [] } = service.spec;
    assert.equal((await request({ host: clusterIP, port: ports[0]?.port ?? 0 })).status, 200);
  });

  it("stays with the resolvers until a startup probe has passed", async () => {
    const web = await world.sleeper({
      name: "startup",
      startMs: 1_500,
      spec,
      edit: ({ deployment }) => {
        const [container] = deployment.spec.template.spec.containers;
        container!.startupProbe = { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 1, failureThreshold: 30 };
      },
    });
    const asked = web.ask();
    const waking = await web.reaches("Waking");
    assert.equal(waking.status?.mode, "proxy");
    assert.equal((await asked).status, 200);
    await web.reaches("Serving", { when: ({ status }) => status?.mode === "serve" });
    const { status } = await world.client.get<Deployment>(resources.deployments, "default", "startup");
    assert.equal(status?.readyReplicas, 1);
  });

  it("hands the client's headers on, and says who asked", async () => {
    const web = await world.sleeper({ name: "headers", spec });
    const answer = await web.ask("/echo", {
      headers: { "x-request-id": "abc-123", cookie: "a=1; b=2", "accept-language": "de" },
    });
    const seen = JSON.parse(Buffer.from(String(answer.headers["x-headers"]), "base64").toString("latin1")) as string[];
    const sentAs = (name: string) =>
      seen[seen.findIndex((one, index) => index % 2 === 0 && one.toLowerCase() === name) + 1];
    assert.deepEqual(
      [sentAs("x-request-id"), sentAs("cookie"), sentAs("accept-language")],
      ["abc-123", "a=1; b=2", "de"],
    );
    assert.equal(sentAs("host"), `${web.host}:${web.port}`);
    assert.match(sentAs("x-forwarded-for") ?? "", /^[\d.:a-f]+$/);
  });
});

describe("restarts while requests are held", () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 1, resolvers: 2 });
  });
  after(() => world.close());

  it("answers what was held when the only operator is killed", async () => {
    const web = await world.sleeper({ name: "heldover", startMs: 1_500, spec });
    const held = Array.from({ length: 30 }, () => web.ask());
    await world.holds(30);
    const [operator] = await world.pods("elasti-operator");
    await world.kill(operator?.metadata.name ?? "");
    for (const { status } of await Promise.all(held)) assert.equal(status, 200);
  });

  it("loses nothing when the resolvers are rolled while services sleep", async () => {
    const names = ["rolled-a", "rolled-b", "rolled-c"];
    const services = await Promise.all(names.map((name) => world.sleeper({ name, startMs: 200, spec })));
    const stream = services.map((web) => new Traffic(() => web.ask(), 60));
    const annotations = { "elasti.test/rolled": "1" };
    await world.client.patch(resources.deployments, world.system, RESOLVER, "merge", {
      spec: { template: { metadata: { annotations } } },
    });
    await world.until<Deployment, true>(
      "rolled",
      resources.deployments,
      world.system,
      RESOLVER,
      (one) => {
        const { observedGeneration = 0, updatedReplicas = 0, replicas = 0, readyReplicas = 0 } = one?.status ?? {};
        return (
          observedGeneration >= (one?.metadata.generation ?? 0) &&
          updatedReplicas === 2 &&
          replicas === 2 &&
          readyReplicas === 2
        );
      },
      90_000,
    );
    for (const traffic of stream) {
      const { failures, answers } = await traffic.stop();
      assert.deepEqual(failures, []);
      assert.ok(answers.length > 0);
    }
    const service = await world.client.get<Service>(resources.services, "default", "rolled-a");
    assert.equal(service.spec.selector?.app, "rolled-a");
  });
});
