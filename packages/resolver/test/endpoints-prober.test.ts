import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createH2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { describe, it, type TestContext } from "node:test";
import type { ProbeStatus, ProbeTarget } from "@elasti/api";
import { systemClock } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { healthRequest, isServing } from "../src/endpoints/grpc-health.ts";
import { ProbeBudget } from "../src/endpoints/probe-budget.ts";
import { finalStatus, probeRequest, tryCheck } from "../src/endpoints/probe-check.ts";
import { Prober, pauseMs } from "../src/endpoints/prober.ts";
import { deadPod } from "./forward-support.ts";

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function listen<T extends Server>(t: TestContext, server: T, port = 0): Promise<T> {
  t.after(() => server.close());
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}

const web = (t: TestContext, handler: RequestListener, port = 0) => listen(t, createServer(handler), port);

function attempt(
  check: Partial<ProbeTarget> & { port: number },
  clock = new ManualClock(),
  signal = new AbortController().signal,
) {
  return tryCheck(
    { type: "http", timeoutSeconds: 1, ...check },
    { address: "127.0.0.1", clock, connectTimeoutMs: 1_000, signal },
  );
}

describe("probe checks", () => {
  it("takes 200 to 399 for ready and everything else for a no", async (t) => {
    let status = 200;
    const server = await web(t, (_request, response) => {
      response.writeHead(status, { location: "/elsewhere" }).end("x".repeat(100_000));
    });
    for (const [given, expected] of [
      [200, "passed"],
      [204, "passed"],
      [302, "passed"],
      [399, "passed"],
      [400, "rejected"],
      [503, "rejected"],
    ] as const) {
      status = given;
      assert.equal(await attempt({ port: portOf(server) }), expected, `${given}`);
    }
  });

  it("asks as the kubelet does, with the probe's own fields first", async (t) => {
    const seen: string[][] = [];
    const server = await web(t, (request, response) => {
      seen.push([`${request.method} ${request.url}`, ...request.rawHeaders]);
      response.end();
    });
    const port = portOf(server);
    await attempt({ port, path: "/healthz?full=1", headers: [{ name: "X-A", value: "1" }] });
    await attempt({
      port,
      headers: [
        { name: "Host", value: "web" },
        { name: "user-agent", value: "mine" },
      ],
    });
    assert.deepEqual(seen[0], [
      "GET /healthz?full=1",
      ...["Host", `127.0.0.1:${port}`, "User-Agent", "kube-probe/1.33 (elasti)", "Accept", "*/*", "X-A", "1"],
      ...["Connection", "close"],
    ]);
    assert.deepEqual(seen[1], ["GET /", "Accept", "*/*", "Host", "web", "user-agent", "mine", "Connection", "close"]);
    assert.match(
      probeRequest("fd00::1", { type: "http", port: 80, timeoutSeconds: 1 }),
      /\r\nHost: \[fd00::1\]:80\r\n/,
    );
  });

  it("reads the final status, in whatever pieces it comes", () => {
    assert.equal(finalStatus("HT"), "partial");
    assert.equal(finalStatus("HTTP/1.1 20"), "partial");
    assert.equal(finalStatus("HTTP/1.1 200 OK\r\n"), 200);
    assert.equal(finalStatus("HTTP/1.0 503\r\n"), 503);
    assert.equal(finalStatus("HTTP/1.1 103 Hints\r\nLink: x\r\n"), "partial");
    assert.equal(finalStatus("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 OK\r\n"), 201);
    assert.equal(finalStatus("SSH-2.0-x\r\n"), undefined);
  });

  it("says refused for a closed port, and for a server that hangs up", async (t) => {
    assert.equal(await attempt({ port: (await deadPod()).port }), "refused");
    assert.equal(await attempt({ port: (await deadPod()).port, type: "tcp" }), "refused");
    const server = await listen(
      t,
      createTcpServer((socket) => socket.destroy()),
    );
    assert.equal(await attempt({ port: portOf(server) }), "refused");
    assert.equal(await attempt({ port: portOf(server), type: "tcp" }), "passed");
  });

  it("gives an attempt up at its time-out", async (t) => {
    const accepted = Promise.withResolvers<void>();
    const server = await listen(
      t,
      createTcpServer((socket) => {
        socket.on("error", () => {}).resume();
        accepted.resolve();
      }),
    );
    const clock = new ManualClock();
    const result = attempt({ port: portOf(server), timeoutSeconds: 3 }, clock);
    await accepted.promise;
    await clock.advance(2_999);
    await clock.advance(1);
    assert.equal(await result, "rejected");
    assert.equal(clock.pendingTimers, 0);
  });

  it("ends an attempt that nobody waits for any more", async (t) => {
    const ended = Promise.withResolvers<void>();
    const stop = new AbortController();
    const server = await listen(
      t,
      createTcpServer((socket) => {
        socket
          .on("error", () => {})
          .on("close", () => ended.resolve())
          .resume();
        stop.abort();
      }),
    );
    const clock = new ManualClock();
    assert.equal(await attempt({ port: portOf(server) }, clock, stop.signal), "refused");
    await ended.promise;
    assert.equal(clock.pendingTimers, 0);
  });

  it("asks the gRPC health service", async (t) => {
    let status = 1;
    const asked: Buffer[] = [];
    const server = createH2Server();
    server.on("stream", (stream: ServerHttp2Stream, headers) => {
      assert.equal(headers[":path"], "/grpc.health.v1.Health/Check");
      stream.on("data", (chunk: Buffer) => asked.push(chunk));
      stream.on("end", () => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.end(Buffer.from([0, 0, 0, 0, 2, 8, status]));
      });
    });
    await listen(t, server as unknown as Server);
    const port = portOf(server as unknown as Server);
    assert.equal(await attempt({ type: "grpc", port, service: "my.Service" }), "passed");
    assert.deepEqual(asked[0], Buffer.from("\0\0\0\0\x0c\n\nmy.Service", "latin1"));
    status = 2;
    assert.equal(await attempt({ type: "grpc", port }), "rejected");
    const plain = await web(t, (_request, response) => response.end());
    assert.notEqual(await attempt({ type: "grpc", port: portOf(plain) }), "passed");
  });

  it("frames gRPC messages", () => {
    assert.deepEqual(healthRequest(""), Buffer.alloc(5));
    assert.equal(healthRequest("x".repeat(200)).subarray(5, 8).toString("hex"), "0ac801");
    assert.equal(isServing(Buffer.from([0, 0, 0, 0, 0])), false);
    assert.equal(isServing(Buffer.from([1, 0, 0, 0, 2, 8, 1])), false);
  });
});

describe("pause between attempts", () => {
  for (const [waited, last, expected] of [
    [0, "refused", 2],
    [200, "refused", 4],
    [0, "rejected", 20],
    [1_000, "refused", 20],
    [5_000, "refused", 100],
    [5_000, "rejected", 100],
    [60_000, "refused", 250],
  ] as const)
    it(`is ${expected} ms after ${waited} ms and ${last}`, () => assert.equal(pauseMs(waited, last), expected));
});

describe("probe budget", () => {
  it("lets a burst through and then keeps the rate", async () => {
    const clock = new ManualClock();
    const budget = new ProbeBudget(clock, 2_000, 50);
    let granted = 0;
    for (let i = 0; i < 1_000; i++) budget.take("a", () => granted++);
    assert.equal(granted, 50);
    await clock.advance(100);
    assert.ok(granted >= 248 && granted <= 250, `${granted}`);
    await clock.advance(500);
    assert.equal(granted, 1_000);
    assert.equal(clock.pendingTimers, 0);
  });

  it("gives waiting services one attempt each per round", async () => {
    const clock = new ManualClock();
    const budget = new ProbeBudget(clock, 1_000, 1);
    const order: string[] = [];
    budget.take("a", () => order.push("first"));
    for (let i = 0; i < 3; i++) budget.take("a", () => order.push("a"));
    budget.take("b", () => order.push("b"));
    const leave = budget.take("c", () => order.push("c"));
    budget.take("c", () => order.push("C"));
    leave();
    await clock.advance(10);
    assert.deepEqual(order, ["first", "a", "b", "C", "a", "a"]);
    assert.equal(clock.pendingTimers, 0);
  });
});

describe("prober", () => {
  const http = (port: number): ProbeStatus => ({
    wait: "Probe",
    readiness: { type: "http", port, path: "/", timeoutSeconds: 1 },
  });

  it("finds a pod that begins to listen, then to answer well, within a few milliseconds", async (t) => {
    const { port } = await deadPod();
    const passed = Promise.withResolvers<string>();
    const clock = systemClock;
    const prober = new Prober({ service: "a", clock, budget: new ProbeBudget(clock), onPass: passed.resolve });
    t.after(() => prober.close());
    prober.probe([{ uid: "x", address: "127.0.0.1", port, connectOnly: false }], http(port));
    let ready = false;
    let asked = 0;
    const refusedOnce = Promise.withResolvers<void>();
    await web(
      t,
      (_request, response) => {
        asked += 1;
        response.writeHead(ready ? 200 : 503).end();
        if (!ready) refusedOnce.resolve();
      },
      port,
    );
    await refusedOnce.promise;
    ready = true;
    const before = asked;
    assert.equal(await passed.promise, "x");
    assert.equal(asked, before + 1);
    assert.equal(prober.size, 0);
  });

  it("wants both the startup and the readiness check", async (t) => {
    let started = false;
    const paths: string[] = [];
    const server = await web(t, (request, response) => {
      paths.push(request.url!);
      response.writeHead(request.url === "/startup" && !started ? 500 : 200).end();
      started = true;
    });
    const port = portOf(server);
    const passed = Promise.withResolvers<string>();
    const prober = new Prober({
      service: "a",
      clock: systemClock,
      budget: new ProbeBudget(systemClock),
      onPass: passed.resolve,
    });
    t.after(() => prober.close());
    const check = (path: string): ProbeTarget => ({ type: "http", port, path, timeoutSeconds: 1 });
    prober.probe([{ uid: "x", address: "127.0.0.1", port, connectOnly: false }], {
      wait: "Probe",
      startup: check("/startup"),
      readiness: check("/ready"),
    });
    await passed.promise;
    assert.deepEqual(paths, ["/startup", "/startup", "/ready"]);
  });

  it("wants the startup check alone where there is no readiness probe", async (t) => {
    const paths: string[] = [];
    const server = await web(t, (request, response) => {
      paths.push(request.url ?? "");
      response.writeHead(paths.length < 3 ? 500 : 200).end();
    });
    const passed = Promise.withResolvers<void>();
    const budget = new ProbeBudget(systemClock);
    const prober = new Prober({ service: "a", clock: systemClock, budget, onPass: () => passed.resolve() });
    t.after(() => prober.close());
    const port = portOf(server);
    prober.probe([{ uid: "a", address: "127.0.0.1", port, connectOnly: false }], {
      wait: "Connect",
      startup: { type: "http", port, path: "/startup", timeoutSeconds: 1 },
    });
    await passed.promise;
    assert.deepEqual(paths, ["/startup", "/startup", "/startup"]);
  });

  it("has one attempt outstanding per pod, and leaves no timer and no socket", async (t) => {
    let open = 0;
    let most = 0;
    const two = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const server = await listen(
      t,
      createTcpServer((socket) => {
        open += 1;
        most = Math.max(most, open);
        if (open === 2) two.resolve();
        socket
          .on("error", () => {})
          .on("close", () => {
            open -= 1;
            if (open === 0) closed.resolve();
          });
        socket.resume();
      }),
    );
    const port = portOf(server);
    const clock = new ManualClock();
    const prober = new Prober({ service: "a", clock, budget: new ProbeBudget(clock), onPass: () => {} });
    const candidates = ["x", "y"].map((uid) => ({ uid, address: "127.0.0.1", port, connectOnly: false }));
    prober.probe(candidates, http(port));
    prober.probe(candidates, http(port));
    await two.promise;
    await clock.advance(900);
    prober.probe(candidates.slice(0, 1), http(port));
    assert.equal(prober.size, 1);
    prober.close();
    await closed.promise;
    assert.equal(most, 2);
    assert.equal(clock.pendingTimers, 0);
  });
});
