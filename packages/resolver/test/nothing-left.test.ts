import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@elasti/core";
import { PodForwarder } from "../src/forward/forwarder.ts";
import { freePort, RawClient, startPod, startWorld, until, webService } from "./support/world.ts";

/** The same numbers in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** One turn of the event loop. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

for (const seed of [1, 2, 3]) {
  test(`whatever clients and pods do, nothing stays behind (seed ${seed})`, async (t) => {
    const carrier = new PodForwarder({ clock: systemClock });
    const world = await startWorld({ carrier, spec: { queue: { maxRequests: 40, maxConcurrencyPerPod: 7 } } });
    t.after(async () => {
      await world.close();
      await carrier.close();
    });
    const next = numbers(seed);
    const pod = await startPod("a", (request, response) => {
      if (next(20) === 0) {
        request.socket.destroy();
        return;
      }
      request.resume();
      setImmediate(() => response.end("x".repeat(next(5_000))));
    });
    t.after(() => pod.close());
    pod.server.on("upgrade", (_request, socket) => {
      socket.on("error", () => {}).resume();
      socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nbye");
    });
    const dead = { uid: "dead", name: "dead", address: "127.0.0.1", port: await freePort() };
    const phases = ["Asleep", "Waking", "Serving", "Draining", "Sealed"] as const;
    const clients: RawClient[] = [];
    for (let step = 0; step < 600; step++) {
      const client = clients[next(Math.max(1, clients.length))];
      const what = next(17);
      if (what < 4) clients.push(new RawClient(world.port).get(`/${step}`));
      else if (what === 4) clients.push(new RawClient(world.port));
      else if (what === 5) clients.push(new RawClient(world.port).send("GET / HT"));
      else if (what === 6)
        clients.push(
          new RawClient(world.port).send(
            `POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 200000\r\n\r\n${"y".repeat(next(200_001))}`,
          ),
        );
      else if (what === 7)
        clients.push(new RawClient(world.port).get("/", "connection: upgrade\r\nupgrade: websocket\r\n"));
      else if (what === 8) client?.get(`/again/${step}`);
      else if (what === 9) client?.socket.destroy();
      else if (what === 10) {
        // Node.js keeps the handle of a socket that is reset while its end is on its way
        if (client?.socket.writableEnded === false) client.socket.resetAndDestroy();
      } else if (what === 11) client?.socket.end();
      else if (what === 12) world.pods.set(...[[], [pod.target], [dead], [dead, pod.target]][next(4)]!);
      else if (what === 13) clients.push(new RawClient(world.port).get("/a").get("/b", "expect: tea\r\n").get("/c"));
      else if (what === 14)
        clients.push(
          new RawClient(world.port).send(
            "POST / HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
          ),
        );
      else {
        if (what === 15 && next(4) === 0) world.resolver.remove(webService({}));
        world.phase({ phase: phases[next(phases.length)]!, podsGone: next(2) === 0 });
      }
      for (let turns = next(4); turns > 0; turns--) await turn();
    }
    world.phase({ phase: "Waking" });
    world.pods.set(pod.target);
    await until(() => world.resolver.holds === 0);
    for (const { socket } of clients) socket.destroy();
    await until(() => world.resolver.inFlight === 0);
    await until(() => world.resolver.connections.open === 0);
    const { silent, held, parkedBytes } = world.resolver.connections;
    assert.deepEqual({ silent, held, parkedBytes }, { silent: 0, held: 0, parkedBytes: 0 });
    assert.equal(world.activation.wanting.size, 0);
    // And so it can be put to sleep.
    world.phase({ phase: "Draining" });
    assert.deepEqual(world.resolver.seal("default", "web", world.epoch() + 1, world.epoch()), { ok: true });
  });
}
