import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { RawClient, startPod, startWorld, until } from "./support/world.ts";

test("holds a request until a pod is usable, wakes once, then forwards it", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const pod = await startPod("a", (request, response) => response.end(`hello ${request.url}`));
  t.after(() => pod.close());
  const client = new RawClient(world.port).get("/first", "connection: close\r\n");
  await until(() => world.resolver.holds === 1);
  assert.deepEqual(world.activation.requests, ["default/web"]);
  assert.equal(world.pods.demand, true);
  world.pods.set(pod.target);
  const answer = await client.ends();
  assert.match(answer, /^HTTP\/1.1 200 OK/);
  assert.match(answer, /hello \/first/);
  assert.match(answer, /elasti-cold-start: \d+/);
  assert.match(answer, /server-timing: hold;dur=/);
  assert.equal(world.activation.wanting.size, 0);
  assert.equal(world.pods.demand, false);
  assert.equal(world.resolver.holds, 0);
  await until(() => world.resolver.inFlight === 0);
});

test("releases in the order of arrival", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const pod = await startPod("a", (_request, response) => response.end("ok"));
  t.after(() => pod.close());
  const clients: RawClient[] = [];
  for (let i = 0; i < 20; i++) {
    clients.push(new RawClient(world.port).get(`/${i}`, "connection: close\r\n"));
    await until(() => world.resolver.holds === i + 1);
  }
  world.pods.set(pod.target);
  await Promise.all(clients.map((client) => client.ends()));
  // Connections are made in this order; requests are sent as they come up.
  assert.deepEqual(
    world.forwarder.sent.map(({ url }) => url),
    clients.map((_client, i) => `/${i}`),
  );
});

test("a held connection costs no HTTP request while it waits", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const client = new RawClient(world.port).get("/");
  await until(() => world.resolver.holds === 1);
  assert.match(await world.metrics.render(), /elasti_resolver_connections\{state="held"\} 1/);
  client.socket.destroy();
  await until(() => world.resolver.holds === 0);
});

test("a body of 5 MB is held unread and arrives intact", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const body = Buffer.alloc(5 * 1024 * 1024, "elasti-0123456789");
  const pod = await startPod("a", (request, response) => {
    const hash = createHash("sha256");
    request.on("data", (chunk) => hash.update(chunk));
    request.on("end", () => response.end(hash.digest("hex")));
  });
  t.after(() => pod.close());
  const client = new RawClient(world.port);
  client.send(`POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`).send(body);
  await until(() => world.resolver.holds === 1);
  const parked = /elasti_resolver_parked_bytes (\d+)/.exec(await world.metrics.render())?.[1];
  assert.ok(Number(parked) <= 2 * 64 * 1024 + 64, `${parked} bytes parked`);
  world.pods.set(pod.target);
  assert.match(await client.ends(), new RegExp(createHash("sha256").update(body).digest("hex")));
});

test("a chunked body that comes in pieces arrives intact", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const pod = await startPod("a", (request, response) => {
    let text = "";
    request.on("data", (chunk) => {
      text += chunk;
    });
    request.on("end", () => response.end(`got ${text}`));
  });
  t.after(() => pod.close());
  const client = new RawClient(world.port);
  client.send("POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n");
  await until(() => world.resolver.holds === 1);
  client.send("6\r\n world\r\n");
  world.pods.set(pod.target);
  client.send("0\r\n\r\n");
  assert.match(await client.ends(), /got hello world/);
});

test("pipelined requests are answered in order", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const pod = await startPod("a", (request, response) => response.end(`<${request.url}>`));
  t.after(() => pod.close());
  const client = new RawClient(world.port).get("/1").get("/2").get("/3", "connection: close\r\n");
  await until(() => world.resolver.holds === 1);
  world.pods.set(pod.target);
  const answer = await client.ends();
  assert.deepEqual(answer.match(/<\/\d>/g), ["</1>", "</2>", "</3>"]);
});

test("the second request of a kept connection is held as a request", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const pod = await startPod("a", (request, response) => response.end(`<${request.url}>`));
  t.after(() => pod.close());
  world.phase({ phase: "Draining" });
  world.pods.set(pod.target);
  const client = new RawClient(world.port).get("/1");
  await client.receives("</1>");
  world.phase({ phase: "Asleep" });
  client.get("/2", "connection: close\r\n");
  await until(() => world.resolver.holds === 1);
  assert.match(await world.metrics.render(), /elasti_resolver_connections\{state="held"\} 0/);
  world.phase({ phase: "Waking" });
  assert.match(await client.ends(), /<\/2>/);
});

test("200 first requests wake once and all are answered", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const pod = await startPod("a", (_request, response) => response.end("ok"));
  t.after(() => pod.close());
  const clients = Array.from({ length: 200 }, (_, i) =>
    new RawClient(world.port).get(`/${i}`, "connection: close\r\n"),
  );
  await until(() => world.resolver.holds === 200);
  assert.equal(world.activation.requests.length, 1);
  world.pods.set(pod.target);
  const answers = await Promise.all(clients.map((client) => client.ends()));
  assert.ok(answers.every((answer) => answer.startsWith("HTTP/1.1 200")));
});
