import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { setImmediate as immediate } from "node:timers/promises";
import { Metrics, silentLogger, systemClock } from "@elasti/core";
import type { EndpointSlice } from "@elasti/kube";
import { addressSet } from "../src/config.ts";
import { pickOfTwo } from "../src/endpoints/pick.ts";
import { ProbeBudget } from "../src/endpoints/probe-budget.ts";
import { ServicePods } from "../src/endpoints/service-pods.ts";
import { PodForwarder } from "../src/forward/forwarder.ts";
import { READ_BUDGET_BYTES } from "../src/listeners/protocol-sniffer.ts";
import { Resolver } from "../src/resolver.ts";
import { FakeActivation, freePort, RawClient, route, startPod, until, webService } from "./support/world.ts";

const sliceOf = (pods: { name: string; port: number; ready: boolean }[]): EndpointSlice[] =>
  pods.map(({ name, port, ready }) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `slice-${name}`, namespace: "default" },
    addressType: "IPv4",
    endpoints: [
      { addresses: ["127.0.0.1"], conditions: { ready }, targetRef: { kind: "Pod", name, uid: `uid-${name}` } },
    ],
    ports: [{ name: "http", port, protocol: "TCP" }],
  }));

async function start(t: TestContext, options: { maxPerPod?: number } = {}) {
  const port = await freePort();
  let pods: ServicePods | undefined;
  const forwarder = new PodForwarder({ clock: systemClock, ...options });
  const metrics = new Metrics({ cacheMs: 0 });
  const resolver = new Resolver({
    clock: systemClock,
    logger: silentLogger,
    metrics,
    pick: pickOfTwo(),
    forwarder,
    activation: new FakeActivation(),
    createPods: (namespace, service) => {
      pods = new ServicePods({
        key: `${namespace}/${service}`,
        clock: systemClock,
        budget: new ProbeBudget(systemClock),
      });
      return pods;
    },
    observe: ({ status }) => pods?.setPhase(status?.phase ?? "Serving", status?.epoch ?? 0, status?.podsGone ?? false),
    bindAddress: "127.0.0.1",
    hostPort: 0,
    clusterDomain: "cluster.local",
    trustedProxies: addressSet([]),
    maxHolds: 10_000,
    maxConnections: 10_000,
    maxParkedBytes: 1 << 26,
    keepAliveTimeoutMs: 5_000,
    firstByteTimeoutMs: 5_000,
    headTimeoutMs: 5_000,
  });
  t.after(async () => {
    await resolver.close();
    await forwarder.close();
  });
  resolver.upsert(webService({ status: { phase: "Asleep", epoch: 4, podsGone: true, routes: [route(port)] } }));
  await resolver.start();
  resolver.upsert(webService({ status: { phase: "Asleep", epoch: 4, podsGone: true, routes: [route(port)] } }));
  return { resolver, port, pods: pods!, forwarder, metrics };
}

test("holds, probes the pod that is not Ready yet, releases and forwards", async (t) => {
  const { resolver, port, pods, metrics } = await start(t);
  const clients = Array.from({ length: 50 }, (_, i) => new RawClient(port).get(`/${i}`, "connection: close\r\n"));
  await until(() => resolver.holds === 50);
  const pod = await startPod("a", (request, response) => response.end(`<${request.url}>`));
  t.after(() => pod.close());
  pods.setProbe({ wait: "Connect" });
  pods.setSlices(sliceOf([{ name: "a", port: pod.target.port, ready: false }]));
  const answers = await Promise.all(clients.map((client) => client.ends()));
  answers.forEach((answer, i) => {
    assert.match(answer, new RegExp(`^HTTP/1.1 200.*elasti-cold-start: \\d+.*</${i}>`, "is"));
    assert.match(answer, /server-timing: hold;dur=[\d.]+, .*ready;dur=[\d.]+.*forward;dur=/i);
  });
  await until(() => resolver.inFlight === 0);
  assert.match(await metrics.render(), /elasti_resolver_cold_start_phase_seconds_count\{phase="ready"\} 50\n/);
});

test("an upload of 5 MB that was held arrives intact at the pod that works", async (t) => {
  const { resolver, port, pods } = await start(t);
  const body = Buffer.alloc(5 * 1024 * 1024, "0123456789abcdef!");
  const client = new RawClient(port).send(
    `POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`,
  );
  client.send(body);
  await until(() => resolver.holds === 1);
  const pod = await startPod("b", (request, response) => {
    const hash = createHash("sha256");
    request.on("data", (chunk) => hash.update(chunk));
    request.on("end", () => response.end(hash.digest("hex")));
  });
  t.after(() => pod.close());
  const dead = await freePort();
  pods.setSlices(
    sliceOf([
      { name: "a", port: dead, ready: true },
      { name: "b", port: pod.target.port, ready: true },
    ]),
  );
  assert.match(await client.ends(), new RegExp(createHash("sha256").update(body).digest("hex")));
});

for (const pieces of [
  [100_000],
  [40_000, 200_000],
  [60_000, 50_000, 10_000, 10_000],
  [60_000, 50_000, 20_000, 100_000],
]) {
  test(`a held upload that came in pieces of ${pieces.join(", ")} bytes keeps their order`, async (t) => {
    const { resolver, port, pods, metrics } = await start(t);
    const body = randomBytes(3_000_000);
    const head = `POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
    const client = new RawClient(port).send(head);
    await until(() => resolver.holds === 1);
    let sent = 0;
    for (const piece of pieces) {
      client.send(body.subarray(sent, sent + piece));
      sent += piece;
      // each is read by itself: what comes after the budget was reached stays in the socket's own buffer
      for (let turns = 0; turns < 10; turns++) await immediate();
    }
    const parked = /elasti_resolver_parked_bytes (\d+)/.exec(await metrics.render())?.[1];
    assert.ok(Number(parked) >= READ_BUDGET_BYTES, `${parked} bytes parked`);
    client.send(body.subarray(sent));
    const received: Buffer[] = [];
    const pod = await startPod("b", (request, response) => {
      request.on("data", (chunk: Buffer) => received.push(chunk));
      request.on("end", () => response.end());
    });
    t.after(() => pod.close());
    pods.setSlices(sliceOf([{ name: "b", port: pod.target.port, ready: true }]));
    assert.match(await client.ends(), /^HTTP\/1.1 200/);
    assert.ok(Buffer.concat(received).equals(body), "bytes changed places");
  });
}

test("more at once than a pod takes connections: the rest waits and is answered", async (t) => {
  const { resolver, port, pods } = await start(t, { maxPerPod: 4 });
  const clients = Array.from({ length: 40 }, () => new RawClient(port).get("/", "connection: close\r\n"));
  await until(() => resolver.holds === 40);
  let most = 0;
  let now = 0;
  const pod = await startPod("a", (_request, response) => {
    now += 1;
    most = Math.max(most, now);
    setImmediate(() => {
      now -= 1;
      response.end("ok");
    });
  });
  t.after(() => pod.close());
  pods.setSlices(sliceOf([{ name: "a", port: pod.target.port, ready: true }]));
  for (const client of clients) assert.match(await client.ends(), /^HTTP\/1.1 200/);
  assert.ok(most <= 4);
});
