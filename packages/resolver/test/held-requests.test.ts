import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import type { ElastiServiceSpec } from "@elasti/api";
import { ManualClock } from "@elasti/core/testing";
import type { PodTarget } from "../src/contracts.ts";
import { freePort, RawClient, startPod, startWorld, until, type World } from "./support/world.ts";

const world = async (t: TestContext, options: Parameters<typeof startWorld>[0] = {}): Promise<World> => {
  const started = await startWorld(options);
  t.after(() => started.close());
  return started;
};
const podOf = async (t: TestContext, name = "a"): Promise<PodTarget> => {
  const pod = await startPod(name, (request, response) => {
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    request.on("end", () => response.end(`<${name} ${request.url} ${bytes}>`));
  });
  t.after(() => pod.close());
  return pod.target;
};
const close = "connection: close\r\n";

describe("a client that leaves while it is held", () => {
  const heads = {
    "without a body": "GET / HTTP/1.1\r\nhost: web\r\n\r\n",
    "after a small body": `POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\n\r\nhello`,
    "inside a body of 50 KB": `POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 50000\r\n\r\n${"x".repeat(40_000)}`,
  };
  for (const [how, bytes] of Object.entries(heads)) {
    for (const by of ["FIN", "RST"] as const) {
      test(`${how}, by ${by}, is dropped at once and sent to nobody`, async (t) => {
        const { resolver, port, activation, forwarder, pods } = await world(t);
        const client = new RawClient(port).send(bytes);
        await until(() => resolver.holds === 1);
        if (by === "FIN") client.socket.end();
        else client.socket.resetAndDestroy();
        await until(() => resolver.holds === 0);
        assert.equal(activation.wanting.size, 0);
        pods.set({ uid: "a", name: "a", address: "127.0.0.1", port: 1 });
        assert.equal(forwarder.sent.length, 0);
      });
    }
  }

  test("as the second request of a connection is dropped too", async (t) => {
    const { resolver, port, pods, phase } = await world(t);
    pods.set(await podOf(t));
    const client = new RawClient(port).get("/1");
    await client.receives("</a /1 0>".slice(2));
    phase({ phase: "Sealed" });
    client.get("/2");
    await until(() => resolver.holds === 1);
    client.socket.destroy();
    await until(() => resolver.holds === 0);
  });

  test("behind an unread body of 5 MB is noticed at release, and sent to nobody for long", async (t) => {
    const { resolver, port, pods } = await world(t);
    const client = new RawClient(port).send(`POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5000000\r\n\r\n`);
    client.send(Buffer.alloc(4_000_000));
    await until(() => resolver.holds === 1);
    client.socket.resetAndDestroy();
    pods.set(await podOf(t));
    await until(() => resolver.holds === 0 && resolver.inFlight === 0);
  });
});

describe("bounds", () => {
  test("a full gate answers 503 with Retry-After and a problem", async (t) => {
    const { resolver, port } = await world(t, { spec: { queue: { maxRequests: 1 } } });
    new RawClient(port).get("/");
    await until(() => resolver.holds === 1);
    const answer = await new RawClient(port).get("/", close).ends();
    assert.match(answer, /^HTTP\/1.1 503/);
    assert.match(answer, /retry-after: 5/);
    assert.match(answer, /elasti-reason: ELASTI_GATE_FULL/);
    assert.match(answer, /application\/problem\+json/);
  });

  test("the deadline answers 504 with the last known reason", async (t) => {
    const clock = new ManualClock();
    const { resolver, port, activation } = await world(t, { clock, spec: { queue: { timeoutSeconds: 30 } } });
    const client = new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    activation.failure = { reason: "ImagePullBackOff", detail: "no such image", certain: false };
    await clock.advance(29_000);
    assert.equal(resolver.holds, 1);
    await clock.advance(1_000);
    const answer = await client.ends();
    assert.match(answer, /^HTTP\/1.1 504/);
    assert.match(answer, /elasti-reason: ELASTI_HOLD_TIMEOUT/);
    assert.match(answer, /ImagePullBackOff: no such image/);
  });

  test("a wake that certainly fails answers 503 at once; an uncertain failure waits on", async (t) => {
    const { resolver, port, activation } = await world(t);
    const client = new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    activation.fail("default", "web", { reason: "Unschedulable", detail: "waiting", certain: false });
    assert.equal(resolver.holds, 1);
    activation.fail("default", "web", { reason: "QuotaExceeded", detail: "pods=0", certain: true });
    const answer = await client.ends();
    assert.match(answer, /^HTTP\/1.1 503/);
    assert.match(answer, /ELASTI_WAKE_FAILED/);
    assert.match(answer, /QuotaExceeded: pods=0/);
  });

  test("a head that does not come to its end is answered 408; silence is closed", async (t) => {
    const clock = new ManualClock();
    const { port } = await world(t, { clock });
    const half = new RawClient(port).send("GET / HTTP/1.1\r\nho");
    const silent = new RawClient(port);
    await once(silent.socket, "connect");
    await until(() => clock.pendingTimers >= 2);
    await clock.advance(10_000);
    assert.match(await half.ends(), /^HTTP\/1.1 408 .*ELASTI_HEAD_TIMEOUT/s);
    assert.equal(await silent.ends(), "");
  });

  test("a head over 64 KB is answered 431 without waking", async (t) => {
    const { port, activation } = await world(t);
    const answer = await new RawClient(port).get("/", `x: ${"y".repeat(70_000)}\r\n`).ends();
    assert.match(answer, /^HTTP\/1.1 431/);
    assert.deepEqual(activation.requests, []);
  });
});

describe("what is not passed on", () => {
  const bad: Record<string, string> = {
    "HTTP/0.9": "GET /\r\n\r\n",
    "two Hosts": "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "the same Host twice": "GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
    "no Host": "GET / HTTP/1.1\r\n\r\n",
    "1.0 with Transfer-Encoding": "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding beside chunked": "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "both lengths": "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "no HTTP": "hello there\r\n\r\n",
    CONNECT: "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n",
    "a folded header": "GET / HTTP/1.1\r\nhost: a\r\n b: c\r\n\r\n",
  };
  for (const [what, bytes] of Object.entries(bad)) {
    for (const awake of [false, true]) {
      test(`${what} is refused while ${awake ? "awake" : "asleep"}`, async (t) => {
        const { port, pods, forwarder, activation, resolver } = await world(t);
        if (awake) pods.set(await podOf(t));
        const client = new RawClient(port).send(bytes);
        if (what === "both lengths" && !awake) {
          // Framing is the HTTP server's to judge, when the request is let through.
          await until(() => resolver.holds === 1);
          pods.set(await podOf(t));
        } else assert.deepEqual(activation.requests, []);
        const answer = await client.ends();
        assert.match(answer, /^HTTP\/1.1 400/);
        assert.match(answer, /elasti-reason: ELASTI_BAD_REQUEST/);
        assert.equal(forwarder.sent.length, 0);
        await until(() => resolver.inFlight === 0);
      });
    }
  }

  test("TLS gets an alert, HTTP/2 a GOAWAY; neither wakes", async (t) => {
    const { port, activation } = await world(t);
    const tls = await new RawClient(port).send(Buffer.from([0x16, 0x03, 0x01, 0x00, 0x05, 1, 2, 3, 4, 5])).ends();
    assert.deepEqual([...Buffer.from(tls, "latin1")], [0x15, 3, 1, 0, 2, 2, 0x28]);
    const h2 = await new RawClient(port).send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").ends();
    assert.equal(Buffer.from(h2, "latin1").at(-1), 0x0d);
    assert.deepEqual(activation.requests, []);
  });
});

describe("static answers", () => {
  const probeResponse: ElastiServiceSpec["probeResponse"] = [
    { path: { type: "Exact", value: "/healthz" }, response: { status: 200, body: "fine" } },
  ];
  const agents: [string, number][] = [
    ["kube-probe/1.31", 200],
    ["ELB-HealthChecker/2.0", 200],
    ["GoogleHC/1.0", 200],
    ["Prometheus/2.53.0", 503],
  ];

  test("probeResponse neither wakes nor counts", async (t) => {
    const { port, activation, resolver } = await world(t, { spec: { probeResponse } });
    const answer = await new RawClient(port).get("/healthz", close).ends();
    assert.match(answer, /^HTTP\/1.1 200.*elasti-reason: probe-response.*fine$/s);
    assert.deepEqual(activation.requests, []);
    assert.deepEqual(resolver.traffic(), []);
  });

  for (const [agent, status] of agents) {
    test(`${agent} is answered ${status} while asleep, and forwarded without counting while awake`, async (t) => {
      const { port, activation, resolver, pods } = await world(t);
      const asleep = await new RawClient(port).get("/", `user-agent: ${agent}\r\n${close}`).ends();
      assert.match(asleep, new RegExp(`^HTTP/1.1 ${status}`));
      pods.set(await podOf(t));
      const awake = await new RawClient(port).get("/", `user-agent: ${agent}\r\n${close}`).ends();
      assert.match(awake, /<a \/ 0>/);
      assert.deepEqual(activation.requests, []);
      assert.equal(resolver.takeChanged()[0]?.requests, 0);
    });
  }

  test("a health check is not held while the pod has no room", async (t) => {
    const { port, resolver, pods } = await world(t, { spec: { queue: { maxConcurrencyPerPod: 1 } } });
    const finish: (() => void)[] = [];
    const pod = await startPod("a", (_request, response) => finish.push(() => response.end("ok")));
    t.after(() => pod.close());
    pods.set(pod.target);
    const running = new RawClient(port).get("/", close);
    await until(() => finish.length === 1);
    const waiting = new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    const answer = await new RawClient(port).get("/", `user-agent: kube-probe/1.33\r\n${close}`).ends();
    assert.match(answer, /^HTTP\/1.1 200.*asleep/s);
    assert.equal(resolver.traffic()[0]?.requests, 2);
    finish[0]!();
    await running.ends();
    await until(() => finish.length === 2);
    finish[1]!();
    assert.match(await waiting.ends(), /ok/);
  });
});

describe("forwarding", () => {
  test("Expect: 100-continue is answered when a pod is there, not before", async (t) => {
    const { port, pods, resolver } = await world(t);
    const client = new RawClient(port).send(
      `POST / HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 5\r\n${close}\r\n`,
    );
    await until(() => resolver.holds === 1);
    assert.equal(client.text, "");
    pods.set(await podOf(t));
    assert.match(await client.receives("\r\n\r\n"), /^HTTP\/1.1 100 Continue\r\n\r\n/);
    client.send("hello");
    assert.match(await client.ends(), /<a \/ 5>/);
  });

  test("a pod that refuses is left for another one, and the request goes on", async (t) => {
    const { port, pods, resolver } = await world(t);
    const dead: PodTarget = { uid: "dead", name: "dead", address: "127.0.0.1", port: await freePort() };
    const client = new RawClient(port).send(`POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\n${close}\r\nhello`);
    await until(() => resolver.holds === 1);
    pods.set(dead, await podOf(t));
    assert.match(await client.ends(), /<a \/ 5>/);
    assert.deepEqual(pods.failures, [dead]);
  });

  test("when the only pod refuses it goes back to the gate, and the operator is asked again", async (t) => {
    const { port, pods, resolver, activation } = await world(t);
    const dead: PodTarget = { uid: "dead", name: "dead", address: "127.0.0.1", port: await freePort() };
    pods.set(dead);
    const client = new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    assert.deepEqual(activation.requests, ["default/web"]);
    pods.set(await podOf(t));
    assert.match(await client.ends(), /elasti-cold-start/);
  });

  test("asks clients to close in serve mode, but not with routing Always", async (t) => {
    const { port, pods, phase } = await world(t);
    pods.set(await podOf(t));
    phase({ phase: "Serving" });
    assert.match(await new RawClient(port).get("/").ends(), /connection: close/i);
    phase({ phase: "Serving", routingMode: "Always" });
    const client = new RawClient(port).get("/");
    assert.doesNotMatch(await client.receives("<a"), /connection: close/i);
    client.socket.destroy();
  });

  test("an upgrade to WebSocket is held, then carried; any other is an ordinary request", async (t) => {
    const { port, pods, resolver } = await world(t);
    const pod = await startPod("ws", (_request, response) => response.end("plain"));
    t.after(() => pod.close());
    pod.server.on("upgrade", (_request, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
      socket.on("data", (chunk) => socket.write(`echo ${chunk}`));
      socket.on("end", () => socket.end());
    });
    const client = new RawClient(port).get("/", "connection: upgrade\r\nupgrade: websocket\r\n");
    await until(() => resolver.holds === 1);
    pods.set(pod.target);
    await client.receives("101 Switching");
    client.send("hi");
    await client.receives("echo hi");
    assert.equal(resolver.inFlight, 1);
    client.socket.destroy();
    await until(() => resolver.inFlight === 0);
    for (const protocol of ["h2c", "TLS/1.2", "tea, websocket"]) {
      const other = new RawClient(port).get("/", `connection: upgrade, close\r\nupgrade: ${protocol}\r\n`);
      assert.match(await other.ends(), /plain/);
    }
    const ask = `connection: upgrade, close\r\nupgrade: websocket\r\ncontent-length: 2\r\n`;
    const post = new RawClient(port).send(`POST / HTTP/1.1\r\nhost: web\r\n${ask}\r\nhi`);
    assert.match(await post.ends(), /plain/);
  });

  test("an upgrade on a kept connection is held as an upgrade, and dropped when its client leaves", async (t) => {
    const { port, pods, resolver, phase } = await world(t);
    pods.set(await podOf(t));
    const client = new RawClient(port).get("/1");
    await client.receives("<a /1 0>");
    phase({ phase: "Sealed" });
    client.get("/2", "connection: upgrade\r\nupgrade: websocket\r\n");
    await until(() => resolver.holds === 1);
    client.socket.destroy();
    await until(() => resolver.holds === 0);
  });

  test("the host says which service is meant on the host port; unknown ones are 404", async (t) => {
    const { hostPort, pods } = await world(t, { hostPort: true });
    pods.set(await podOf(t));
    const ask = (host: string) =>
      new RawClient(hostPort).send(`GET / HTTP/1.1\r\nhost: ${host}\r\n${close}\r\n`).ends();
    for (const host of ["web.default", "web.default.svc", "web.default.svc.cluster.local:80", "WEB.default.svc."])
      assert.match(await ask(host), /<a \/ 0>/);
    for (const host of ["web", "web.other", "web.default.svc.other", "example.com"]) {
      const answer = await ask(host);
      assert.match(answer, /^HTTP\/1.1 404.*ELASTI_UNKNOWN_SERVICE/s);
    }
  });
});

describe("X-Forwarded-Host", () => {
  for (const [trusted, status] of [
    ["127.0.0.0/8", 200],
    ["10.0.0.0/8", 404],
  ] as const) {
    test(`from a proxy when ${trusted} is trusted: ${status}`, async (t) => {
      const { hostPort, pods } = await world(t, { hostPort: true, trusted });
      pods.set(await podOf(t));
      const head = `GET / HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-host: web.default\r\n${close}\r\n`;
      assert.match(await new RawClient(hostPort).send(head).ends(), new RegExp(`^HTTP/1.1 ${status}`));
    });
  }
});

describe("the seal", () => {
  test("holds what comes after it until a newer epoch is seen", async (t) => {
    const { port, pods, resolver, phase, epoch } = await world(t);
    pods.set(await podOf(t));
    phase({ phase: "Draining" });
    assert.deepEqual(resolver.seal("default", "web", epoch() + 1, epoch()), { ok: true });
    const client = new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    assert.deepEqual(resolver.seal("default", "web", epoch() + 1, epoch()), { ok: false, reason: "held" });
    phase({ phase: "Sealed" });
    assert.equal(resolver.holds, 1);
    phase({ phase: "Serving" });
    assert.match(await client.ends(), /<a \/ 0>/);
    assert.deepEqual(resolver.seal("default", "none", 2, 1), { ok: false, reason: "unknown-service" });
  });

  test("a request in Draining is told at once and forbids the seal", async (t) => {
    const { port, pods, resolver, phase, epoch } = await world(t);
    pods.set(await podOf(t));
    phase({ phase: "Draining" });
    const urgent: number[] = [];
    resolver.onUrgent(({ requests }) => urgent.push(requests));
    await new RawClient(port).get("/", close).ends();
    assert.deepEqual(urgent, [1]);
    await until(() => resolver.inFlight === 0);
    assert.deepEqual(resolver.seal("default", "web", epoch() + 1, epoch()), { ok: false, reason: "request-seen" });
  });

  test("silent connections are no requests; their ends are reported while Draining", async (t) => {
    const { port, resolver, phase, epoch, activation } = await world(t);
    phase({ phase: "Draining" });
    const told = new Promise<void>((resolve) => void resolver.onSilent(resolve));
    const client = new RawClient(port);
    await once(client.socket, "connect");
    const localPort = client.socket.localPort;
    client.socket.end();
    await told;
    const [report] = resolver.takeSilent();
    assert.equal(report?.peers.length, 1);
    assert.equal(report?.peers[0]?.port, localPort);
    assert.equal(report?.peers[0]?.address, "127.0.0.1");
    assert.deepEqual(activation.requests, []);
    assert.deepEqual(resolver.seal("default", "web", epoch() + 1, epoch()), { ok: true });
  });
});
