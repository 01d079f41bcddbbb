import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { OVERRIDE_ANNOTATION } from "@elasti/api";
import { type Deployment, resources } from "@elasti/kube";
import { Traffic } from "./client.ts";
import type { Sleeper } from "./sleeper.ts";
import { hostAddress, startWorld, type World } from "./world.ts";

const soon = { cooldownPeriod: 1, routing: { graceSeconds: 0 } };
const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();
const far = () => inMs(3_600_000);

/** A sleep that did not succeed is tried again after half a minute. */
const patience = { timeoutMs: 120_000 };

describe("overrides", { concurrency: 4 }, () => {
  let world: World;
  let server: http.Server;
  before(async () => {
    // a Prometheus by which everything is at 1
    server = http.createServer((_request, response) =>
      response.end('{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}'),
    );
    await new Promise<void>((resolve) => server.listen(0, hostAddress, resolve));
    world = await startWorld({
      operators: 2,
      resolvers: 1,
      operatorEnv: { ELASTI_PROMETHEUS_ALLOWED_SERVERS: hostAddress },
    });
  });
  after(async () => {
    await world?.close();
    server.closeAllConnections();
    server.close();
  });

  const active = () => {
    const serverAddress = `http://${hostAddress}:${(server.address() as AddressInfo).port}`;
    return [{ type: "prometheus" as const, metadata: { serverAddress, query: "load", threshold: 1 } }];
  };
  const annotate = (web: Sleeper, record: string | null) =>
    world.client.patch(resources.elastiServices, web.namespace, web.name, "merge", {
      metadata: { annotations: { [OVERRIDE_ANNOTATION]: record } },
    });
  const override = (web: Sleeper, record: Record<string, unknown>) =>
    annotate(web, JSON.stringify({ until: far(), by: "ada", ...record }));
  const scaledTo = (web: Sleeper, replicas: number) =>
    world.until<Deployment, true>(
      `${replicas} replicas`,
      resources.deployments,
      web.namespace,
      web.name,
      (deployment) => deployment?.spec.replicas === replicas,
    );
  const over = (web: Sleeper) =>
    world.until(
      "the end of the override",
      resources.elastiServices,
      web.namespace,
      web.name,
      (es) =>
        es?.metadata.annotations?.[OVERRIDE_ANNOTATION] === undefined &&
        !(es as Awaited<ReturnType<Sleeper["es"]>>).status?.conditions?.some(({ type }) => type === "Override"),
    );

  it("awake: wakes, keeps it up though idle, and lets it sleep when it is over", async () => {
    const web = await world.sleeper({ name: "awake", spec: soon });
    const until = inMs(10_000);
    await override(web, { kind: "awake", until, reason: "a demo" });
    const { status } = await web.reaches("Serving");
    assert.equal(status?.lastWake?.reason, "override");
    const shown = await web.condition("Override", ({ reason }) => reason === "Awake");
    assert.equal(shown.message, `awake until ${until} by ada: a demo`);
    const idle = await web.condition("Idle", ({ reason }) => reason === "Override");
    assert.match(idle.message, /until/);
    await web.sleeps({ ...patience, after: status?.epoch ?? 0 });
    assert.ok(Date.now() >= Date.parse(until), "slept before the end");
    await over(web);
  });

  it("asleep: sleeps though a trigger is active, wakes for a request, and goes by the trigger again when it is over", async () => {
    const web = await world.sleeper({ name: "night", replicas: 1, spec: { ...soon, triggers: active() } });
    await web.condition("Idle", ({ status }) => status === "False");
    await override(web, { kind: "asleep" });
    const { status } = await web.sleeps(patience);
    assert.equal((await web.ask()).status, 200);
    const again = await web.sleeps({ ...patience, after: status?.epoch ?? 0 });
    await override(web, { kind: "asleep", until: inMs(500) });
    const awake = await web.reaches("Serving", { after: again.status?.epoch ?? 0 });
    assert.equal(awake.status?.lastWake?.reason, "trigger");
    await over(web);
  });

  it("pin 0: goes to zero under requests, refuses them, and wakes for them when it is over", async () => {
    const web = await world.sleeper({ name: "closed", replicas: 1, spec: { ...soon, cooldownPeriod: 900 } });
    await using traffic = new Traffic(() => web.ask("/"), 100);
    await override(web, { kind: "pin", replicas: 0, reason: "the database moves" });
    const { status } = await web.sleeps(patience);
    assert.equal(status?.waking?.reason, "PinnedAsleep");
    const refused = await web.ask();
    assert.deepEqual([refused.status, refused.headers["elasti-reason"]], [503, "ELASTI_PINNED_ASLEEP"]);
    assert.match(refused.text, /pinned-asleep: pin 0 until .* by ada: the database moves/);
    assert.ok(refused.tookMs < 2_000, `${refused.tookMs} ms`);
    assert.deepEqual([await web.replicas(), await web.epoch()], [0, status?.epoch]);
    await override(web, { kind: "pin", replicas: 0, until: inMs(1_000) });
    await web.reaches("Serving", { after: status?.epoch ?? 0 });
    assert.equal((await web.ask()).status, 200);
    const { failures, answers } = await traffic.stop();
    // no connection was broken: whatever was not served was told so
    assert.deepEqual(
      failures.filter((failure) => !String(failure).includes("503")),
      [],
    );
    assert.ok(answers.length > 0);
  });

  it("pin and at-least: move what is awake, once; a change by hand stands", async () => {
    const web = await world.sleeper({ name: "sized", replicas: 1 });
    await override(web, { kind: "pin", replicas: 3 });
    await scaledTo(web, 3);
    await override(web, { kind: "pin", replicas: 2 });
    await scaledTo(web, 2);
    await web.condition("Override", ({ message }) => message.startsWith("pin 2 "));
    await web.scaleByHand(1);
    await override(web, { kind: "at-least", replicas: 2 });
    await scaledTo(web, 2);
    await web.condition("Override", ({ reason }) => reason === "AtLeast");
    await web.scaleByHand(4);
    // one more look at it, and what is above the floor is still there
    await override(web, { kind: "at-least", replicas: 2, reason: "again" });
    await web.condition("Override", ({ message }) => message.endsWith("again"));
    assert.equal(await web.replicas(), 4);
  });

  it("at-least: a wake asks for so many at once", async () => {
    const web = await world.sleeper({ name: "wide" });
    await override(web, { kind: "at-least", replicas: 2 });
    const { status } = await web.reaches("Serving");
    assert.deepEqual([status?.lastWake?.fromReplicas, status?.lastWake?.toReplicas], [0, 2]);
  });

  it("pause: nothing sleeps, nothing wakes by itself, requests are served", async () => {
    const idle = await world.sleeper({ name: "kept", replicas: 1, spec: { ...soon, cooldownPeriod: 3 } });
    await override(idle, { kind: "pause" });
    const asleep = await world.sleeper({ name: "still", spec: { ...soon, cooldownPeriod: 900 } });
    await override(asleep, { kind: "pause" });
    await world.client.patch(resources.elastiServices, asleep.namespace, asleep.name, "merge", {
      spec: { triggers: active() },
    });
    await idle.condition("Idle", ({ reason }) => reason === "Override");
    await asleep.condition(
      "Override",
      ({ reason, observedGeneration }) => reason === "Pause" && observedGeneration === 2,
    );
    assert.equal((await asleep.ask()).status, 200);
    const { status } = await idle.es();
    assert.deepEqual([status?.phase, await idle.replicas()], ["Serving", 1]);
    await annotate(idle, null);
    await idle.sleeps(patience);
  });

  it("an override that is wrong changes nothing, and says which field", async () => {
    const web = await world.sleeper({ name: "wrong", spec: soon });
    const epoch = await web.epoch();
    await annotate(web, JSON.stringify({ kind: "awake", by: "ada" }));
    const shown = await web.condition("OverrideInvalid", ({ status }) => status === "True");
    assert.match(shown.message, /until is missing: an override has to end/);
    assert.deepEqual([await web.epoch(), await web.phase()], [epoch, "Asleep"]);
    assert.equal((await web.ask()).status, 200);
    await web.sleeps({ ...patience, after: epoch });
    await annotate(web, null);
    const gone = (es: unknown) => es !== undefined && !JSON.stringify(es).includes("OverrideInvalid");
    await world.until("no condition", resources.elastiServices, web.namespace, web.name, gone);
  });
});
