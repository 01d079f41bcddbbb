import assert from "node:assert/strict";
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { describe, type TestContext, test } from "node:test";
import { systemClock } from "@elasti/core";
import { PodForwarder } from "../src/forward/forwarder.ts";
import { type Connection, routeFor } from "../src/listeners/connection.ts";
import type { Route } from "../src/routes.ts";
import { RawClient, route, startPod, startWorld, until, type World, webService } from "./support/world.ts";

const always = { routing: { mode: "Always" as const } };

/** A service that is awake and whose clients come by the resolver for good, so that connections are kept. */
async function awake(t: TestContext, handler: RequestListener, held = false): Promise<World> {
  const carrier = new PodForwarder({ clock: systemClock });
  const world = await startWorld({ carrier, spec: always });
  const pod = await startPod("a", handler);
  t.after(async () => {
    await world.close();
    await carrier.close();
    await pod.close();
  });
  if (!held) world.phase({ phase: "Serving" });
  world.pods.set(pod.target);
  return world;
}

describe("pipelined requests", () => {
  test("reach pods one after another", async (t) => {
    const log: string[] = [];
    const world = await awake(t, (request, response) => {
      log.push(`> ${request.url}`);
      setImmediate(() => {
        log.push(`< ${request.url}`);
        response.end(`<${request.url}>`);
      });
    });
    const client = new RawClient(world.port).get("/1").get("/2").get("/3");
    await client.receives("</3>");
    assert.deepEqual(log, ["> /1", "< /1", "> /2", "< /2", "> /3", "< /3"]);
    await until(() => world.resolver.inFlight === 0);
  });

  test("behind an answer that closes the connection are sent to nobody", async (t) => {
    const urls: (string | undefined)[] = [];
    const world = await awake(t, (request, response) => {
      urls.push(request.url);
      response.end("ok");
    });
    world.phase({ phase: "Serving" }, { routing: { mode: "SelectorSwap" } });
    const client = new RawClient(world.port).get("/1").get("/2");
    assert.match(await client.ends(), /Connection: close/i);
    assert.deepEqual(urls, ["/1"]);
    assert.equal(world.resolver.inFlight, 0);
  });

  test("end with a reset when an answer behind another one breaks off", async (t) => {
    const world = await awake(t, (request, response) => {
      if (request.url === "/1") setImmediate(() => response.end("whole"));
      else {
        response.writeHead(200, { "content-length": "100" });
        response.write("part", () => request.socket.resetAndDestroy());
      }
    });
    const client = new RawClient(world.port).get("/1").get("/2");
    assert.match(await client.ends(), /whole/);
    assert.equal(world.resolver.inFlight, 0);
  });

  test("are bounded", async (t) => {
    const world = await awake(t, (_request, response) => response.end("ok"));
    const client = new RawClient(world.port).get("/1");
    await client.receives("ok");
    world.phase({ phase: "Sealed" });
    client.send("GET / HTTP/1.1\r\nhost: web\r\n\r\n".repeat(200));
    await once(client.socket, "close");
    assert.equal(world.resolver.holds, 0);
    await until(() => world.resolver.connections.open === 0);
  });

  test("cannot be followed by an upgrade", async (t) => {
    const world = await awake(t, () => {});
    const client = new RawClient(world.port).get("/1").get("/2", "connection: upgrade\r\nupgrade: websocket\r\n");
    assert.equal(await client.ends(), "");
    await until(() => world.resolver.inFlight === 0);
  });
});

test("an expectation that is not known takes nothing away", async (t) => {
  const world = await awake(t, (_request, response) => response.end("ok"), true);
  world.phase({ phase: "Sealed" });
  const client = new RawClient(world.port).get("/", "expect: something\r\n");
  await until(() => world.resolver.holds === 1);
  world.phase({ phase: "Serving" });
  assert.match(await client.receives("ok"), /^HTTP\/1.1 200/);
  await until(() => world.resolver.inFlight === 0);
});

test("a request that is on its way as the drain begins is answered, and told to close", async (t) => {
  const world = await awake(t, (request, response) => response.end(`<${request.url}>`));
  const client = new RawClient(world.port).get("/1");
  await client.receives("</1>");
  await until(() => world.resolver.inFlight === 0);
  client.send("POST /2 HTTP/1.1\r\nhost: web\r\ncontent-length: 0\r\n\r\n");
  world.resolver.beginDrain();
  assert.match(await client.ends(), /Connection: close[\s\S]*<\/2>/i);
});

test("a client of a WebSocket that has said all still hears the pod out", async (t) => {
  const carrier = new PodForwarder({ clock: systemClock });
  const world = await startWorld({ carrier, spec: always });
  const pod = await startPod("a", () => {});
  t.after(async () => {
    await world.close();
    await carrier.close();
    await pod.close();
  });
  pod.server.on("upgrade", (_request, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    socket.resume().once("end", () => setImmediate(() => socket.end("last words")));
  });
  const client = new RawClient(world.port);
  client.socket.allowHalfOpen = true;
  client.get("/", "connection: upgrade\r\nupgrade: websocket\r\n");
  await until(() => world.resolver.holds === 1);
  world.pods.set(pod.target);
  await client.receives("101 Switching");
  client.socket.end();
  assert.match(await client.ends(), /last words$/);
  await until(() => world.resolver.inFlight === 0);
});

describe("a connection whose port", () => {
  test("leads to another Service now reaches neither", async (t) => {
    const urls: (string | undefined)[] = [];
    const world = await awake(t, (request, response) => {
      urls.push(request.url);
      response.end("ok");
    });
    // no node lags
    const spec = { routing: { ...always.routing, graceSeconds: 0 } };
    world.resolver.upsert(
      webService({ generation: 2, spec, status: { phase: "Serving", epoch: 98, routes: [route(world.port)] } }),
    );
    const kept = new RawClient(world.port).get("/kept");
    const silent = new RawClient(world.port);
    await kept.receives("ok");
    await until(() => world.resolver.connections.open === 2);
    // claims the port, and gets it when the first one gives it up
    const status = { phase: "Serving" as const, epoch: 1, routes: [route(world.port)] };
    world.resolver.upsert(webService({ name: "other", created: "2026-01-02T00:00:00Z", spec: always, status }));
    world.resolver.upsert(webService({ generation: 2, spec, status: { phase: "Serving", epoch: 99, routes: [] } }));
    await until(() => world.resolver.routes().some(({ service }) => service === "other"));
    for (const client of [kept, silent]) {
      const answer = await client.get("/lost").ends();
      assert.match(answer, /503 Service Unavailable[\s\S]*ELASTI_SERVICE_REMOVED[\s\S]*connection: close/);
    }
    assert.deepEqual(urls, ["/kept"]);
    await new RawClient(world.port).get("/other").receives("ok");
    assert.deepEqual(urls, ["/kept", "/other"]);
  });

  test("is claimed by another Service goes on, and so do new ones", async (t) => {
    const world = await awake(t, (request, response) => response.end(`<${request.url}>`));
    const kept = new RawClient(world.port).get("/1");
    await kept.receives("</1>");
    const status = { phase: "Asleep" as const, epoch: 1, routes: [route(world.port)] };
    world.resolver.upsert(webService({ name: "other", created: "2026-01-02T00:00:00Z", spec: always, status }));
    world.resolver.upsert(webService({ spec: always, status: { phase: "Serving", epoch: 99, routes: [] } }));
    await kept.get("/2").receives("</2>");
    await new RawClient(world.port).get("/3").receives("</3>");
    assert.equal(world.resolver.holds, 0);
    assert.deepEqual(world.resolver.routes(), [
      { resolverPort: world.port, namespace: "default", service: "web", port: 80, name: "http" },
    ]);
  });

  test("led nowhere when it came is nobody's", () => {
    const led = { port: 10_000, origin: undefined } as Connection;
    assert.equal(
      routeFor(led, () => ({}) as Route),
      undefined,
    );
  });

  test("leads to another port of the same Service now does not follow", async (t) => {
    const world = await awake(t, (_request, response) => response.end("ok"));
    const kept = new RawClient(world.port).get("/kept");
    await kept.receives("ok");
    world.phase({ phase: "Serving", routes: [route(world.port, 81)] });
    assert.match(await kept.get("/lost").ends(), /ELASTI_SERVICE_REMOVED/);
  });

  test("was given up and came back goes on", async (t) => {
    const world = await awake(t, (request, response) => response.end(`<${request.url}>`));
    const kept = new RawClient(world.port).get("/1");
    await kept.receives("</1>");
    world.resolver.remove(webService({}));
    world.phase({ phase: "Serving" });
    await kept.get("/2").receives("</2>");
  });

  test("will soon lead nowhere is closed with its next answer", async (t) => {
    const world = await awake(t, (request, response) => response.end(`<${request.url}>`));
    const kept = new RawClient(world.port).get("/1");
    assert.doesNotMatch(await kept.receives("</1>"), /connection: close/i);
    const object = webService({ spec: always, status: { phase: "Serving", epoch: 99, routes: [route(world.port)] } });
    object.metadata.deletionTimestamp = "2026-01-02T00:00:00Z";
    world.resolver.upsert(object);
    assert.match(await kept.get("/2").ends(), /connection: close[\s\S]*<\/2>/i);
  });
});
