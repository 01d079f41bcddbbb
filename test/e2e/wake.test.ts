import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { type KubeEvent, resources, type Service } from "@elasti/kube";
import { WebSocket } from "ws";
import { patienceMs, request } from "./client.ts";
import { startWorld, type World } from "./world.ts";

const sha256 = (body: Buffer) => createHash("sha256").update(body).digest("hex");

describe("waking from zero", { concurrency: 6 }, () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 2, resolvers: 2 });
  });
  after(() => world.close());

  it("answers the first request by the pod that it started, and says what the wait was for", async () => {
    const web = await world.sleeper({ name: "first", startMs: 100 });
    const answer = await web.ask("/");
    assert.equal(answer.status, 200);
    assert.match(answer.text, /^hello from first-/);
    assert.match(
      String(answer.headers["server-timing"]),
      /^hold;dur=[\d.]+, notify;dur=[\d.]+,.* ready;dur=[\d.]+, forward;dur=/,
    );
    const coldStart = Number(answer.headers["elasti-cold-start"]);
    assert.ok(Number.isInteger(coldStart) && coldStart >= 100 && coldStart <= answer.tookMs, String(coldStart));
    const { status } = await web.reaches("Serving");
    assert.deepEqual([status?.lastWake?.fromReplicas, status?.lastWake?.toReplicas], [0, 1]);
    const warm = await web.ask("/");
    assert.deepEqual(
      [warm.status, warm.headers["elasti-cold-start"], warm.headers["server-timing"]],
      [200, undefined, undefined],
    );
  });

  it("makes one write to /scale of 200 first requests, and answers them all", async () => {
    const web = await world.sleeper({ name: "crowd", startMs: 300 });
    const before = (await web.deployment()).metadata.generation ?? 0;
    const answers = await Promise.all(Array.from({ length: 200 }, () => web.ask("/")));
    assert.deepEqual(
      answers.filter(({ status }) => status !== 200),
      [],
    );
    await web.reaches("Serving");
    // every write that changes the spec moves it
    assert.equal((await web.deployment()).metadata.generation, before + 1);
    const events = await world.client.list<KubeEvent>(resources.events, { namespace: web.namespace });
    // events outlive what they are about: another suite's service may have had the same name
    const { uid } = (await web.es()).metadata;
    const scaled = events.items.filter(
      ({ reason, involvedObject }) => reason === "SuccessToScale" && involvedObject.uid === uid,
    );
    assert.deepEqual(
      scaled.map(({ count }) => count),
      [1],
      JSON.stringify(scaled),
    );
  });

  it("asks for minTargetReplicas at once", async () => {
    const web = await world.sleeper({ name: "many", spec: { minTargetReplicas: 3 } });
    assert.equal((await web.ask()).status, 200);
    assert.equal(await web.replicas(), 3);
  });

  it("keeps services of one name in two namespaces apart", async () => {
    await world.namespace("team-a");
    await world.namespace("team-b");
    const [a, b] = await Promise.all([
      world.sleeper({ name: "twin", namespace: "team-a" }),
      world.sleeper({ name: "twin", namespace: "team-b" }),
    ]);
    assert.equal((await a.ask()).status, 200);
    assert.deepEqual([await a.replicas(), await b.replicas(), await b.phase()], [1, 0, "Asleep"]);
    const answer = await b.ask();
    const [pod] = await b.appPods();
    assert.deepEqual([answer.status, answer.pod], [200, pod?.metadata.name]);
  });

  it("passes a large answer, one that drips, and one without a length, from zero", async () => {
    const web = await world.sleeper({ name: "answers", startMs: 100 });
    const [large, drip] = await Promise.all([web.ask("/bytes?n=1048576"), web.ask("/drip?n=5&ms=50")]);
    assert.deepEqual([large.status, large.body.length, large.headers["content-length"]], [200, 1_048_576, "1048576"]);
    assert.equal(sha256(large.body), sha256(Buffer.alloc(1_048_576, "elasti--")));
    assert.deepEqual([drip.text, drip.headers["transfer-encoding"]], ["0\n1\n2\n3\n4\n", "chunked"]);
  });

  it("holds a POST of 5 MB and delivers it whole", async () => {
    const web = await world.sleeper({ name: "upload", startMs: 500 });
    const body = randomBytes(5_000_000);
    const [sized, chunked] = await Promise.all([
      web.ask("/echo", { method: "POST", body }),
      web.ask("/echo", {
        method: "POST",
        body,
        headers: { "transfer-encoding": "chunked" },
      }),
    ]);
    assert.deepEqual([sized.status, sha256(sized.body)], [200, sha256(body)]);
    assert.deepEqual([chunked.status, sha256(chunked.body)], [200, sha256(body)]);
  });

  it("upgrades to a WebSocket from zero", async () => {
    const web = await world.sleeper({ name: "socket", startMs: 200 });
    const socket = new WebSocket(`ws://${web.host}:${web.port}/ws`);
    const said = Promise.withResolvers<string>();
    socket.on("error", said.reject);
    socket.on("message", (data) => said.resolve(String(data)));
    socket.on("open", () => socket.send("anybody there?"));
    assert.equal(await said.promise, "anybody there?");
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.close(1000);
    assert.equal(await closed, 1000);
  });

  it("keeps a client's connection over the wake and after", async () => {
    const web = await world.sleeper({ name: "kept", startMs: 100 });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const answers = [];
    for (let count = 0; count < 5; count++) answers.push(await web.ask("/", { agent }));
    agent.destroy();
    assert.deepEqual(
      answers.map(({ status, reused }) => [status, reused]),
      [
        [200, false],
        [200, true],
        [200, true],
        [200, true],
        [200, true],
      ],
    );
  });

  it("holds a request on a connection that was open before", async () => {
    const web = await world.sleeper({ name: "again", spec: { cooldownPeriod: 1, routing: { graceSeconds: 0 } } });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal((await web.ask("/", { agent })).status, 200);
    const { status } = await web.sleeps();
    const answer = await web.ask("/", { agent });
    agent.destroy();
    assert.deepEqual([answer.status, answer.reused], [200, true]);
    assert.ok(Number(answer.headers["elasti-cold-start"]) > 0);
    assert.ok((await web.epoch()) > (status?.epoch ?? 0));
  });

  it("drops the hold of a client that leaves, and wakes nobody for it again", async () => {
    const web = await world.sleeper({ name: "left", startMs: 1_000 });
    const before = (await web.deployment()).metadata.generation ?? 0;
    const client = new AbortController();
    const asked = web.ask("/", { signal: client.signal }).catch(() => "left");
    await web.queued(true);
    client.abort();
    assert.equal(await asked, "left");
    await web.queued(false);
    await web.reaches("Serving");
    assert.equal((await web.deployment()).metadata.generation, before + 1);
    const answer = await web.ask("/metrics");
    assert.match(answer.text, /app_requests_total\{method="GET",status="200"\} 0/);
  });

  it("answers HEAD and 204 without a body", async () => {
    const web = await world.sleeper({ name: "bodiless" });
    const [head, none] = await Promise.all([web.ask("/bytes?n=1000", { method: "HEAD" }), web.ask("/status?code=204")]);
    assert.deepEqual([head.status, head.headers["content-length"], head.body.length], [200, "1000", 0]);
    assert.deepEqual([none.status, none.body.length], [204, 0]);
  });

  it("leads each port of a Service to its own port of the container", async () => {
    const twoPorts = `const http = require("http");
      for (const port of [8080, 9090]) http.createServer((q, r) => r.end("port " + port)).listen(port, process.env.POD_IP);`;
    const web = await world.sleeper({
      name: "ports",
      edit: ({ deployment, service }) => {
        const [container] = deployment.spec.template.spec.containers;
        container!.command = [process.execPath, "-e", twoPorts];
        container!.ports = [
          { name: "http", containerPort: 8080 },
          { name: "admin", containerPort: 9090 },
        ];
        container!.readinessProbe = { httpGet: { path: "/", port: "http" }, periodSeconds: 1 };
        service.spec.ports = [
          { name: "http", port: 8080, targetPort: "http" },
          { name: "admin", port: 8081, targetPort: "admin" },
        ];
      },
    });
    const [admin, plain] = await Promise.all([
      request({ host: web.host, port: 8081 }),
      request({ host: web.host, port: 8080 }),
    ]);
    assert.deepEqual([admin.text, plain.text], ["port 9090", "port 8080"]);
    const routes = (await web.es()).status?.routes ?? [];
    assert.deepEqual(
      routes.map(({ name, port }) => [name, port]),
      [
        ["http", 8080],
        ["admin", 8081],
      ],
    );
    assert.notEqual(routes[0]?.resolverPort, routes[1]?.resolverPort);
  });

  it("opens the gate before the kubelet's next probe", async () => {
    // its first probe comes before the app is up; an answer that waited for the second would be given up
    const web = await world.sleeper({ name: "early", startMs: 300, readinessPeriodSeconds: 3 * (patienceMs / 1_000) });
    assert.equal((await web.ask()).status, 200);
  });

  it("wakes a target without a readiness probe once it can be connected to", async () => {
    const web = await world.sleeper({ name: "unprobed", startMs: 500, readinessProbe: false });
    assert.equal((await web.ask()).status, 200);
    await web.reaches("Serving");
  });

  it("is reached by host on the resolvers' own port, and knows no other hosts there", async () => {
    const web = await world.sleeper({ name: "byhost" });
    const { spec } = await world.client.get<Service>(resources.services, world.system, "elasti-resolver");
    const ask = (host: string) => request({ host: spec.clusterIP ?? "", port: 8012, headers: { host } });
    const unknown = await ask("nobody.default.svc");
    assert.deepEqual([unknown.status, unknown.headers["elasti-reason"]], [404, "ELASTI_UNKNOWN_SERVICE"]);
    assert.equal(await web.replicas(), 0);
    for (const host of ["byhost.default", "byhost.default.svc:8080", "byhost.default.svc.cluster.local"])
      assert.match((await ask(host)).text, /^hello from byhost-/);
  });
});
