import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import type { EndpointSlice } from "@elasti/kube";
import { OperatorClient, resultOf } from "../src/operator-client.ts";
import { type OperatorDirectory, type OperatorEndpoint, operatorEndpoints } from "../src/operator-endpoints.ts";
import { TokenFile } from "../src/token-file.ts";
import { deadPod, portOf } from "./forward-support.ts";

const notification = { count: 3, svc: "web", namespace: "default", epoch: 4 };
const accepted = { message: "Request received successfully!", outcome: "scaled", replicas: 1 };

async function replica(
  t: TestContext,
  handler: (request: IncomingMessage, response: ServerResponse, body: string) => void,
): Promise<number> {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    handler(request, response, body);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return portOf(server);
}

const endpoint = (port: number, ready = true): OperatorEndpoint => ({
  key: `${port}`,
  name: `operator-${port}`,
  address: "127.0.0.1",
  port,
  ready,
});

function client(t: TestContext, endpoints: OperatorEndpoint[], clock = new ManualClock()) {
  const listeners = new Set<() => void>();
  const directory: OperatorDirectory = {
    list: () => endpoints,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const operator = new OperatorClient({
    endpoints: directory,
    clock,
    token: async () => "secret",
    random: () => 0.5,
  });
  t.after(() => operator.close());
  return { operator, clock, change: () => listeners.forEach((listener) => void listener()) };
}

describe("operator client", () => {
  it("sends the notification with its token and reads the reply", async (t) => {
    const seen: unknown[] = [];
    const port = await replica(t, (request, response, body) => {
      seen.push(request.method, request.url, request.headers.authorization, JSON.parse(body));
      response.end(JSON.stringify(accepted));
    });
    const { operator, clock } = client(t, [endpoint(port)]);
    assert.deepEqual(await operator.notify(notification), { ok: true, reply: accepted });
    assert.deepEqual(seen, ["POST", "/informer/incoming-request", "Bearer secret", notification]);
    assert.equal(clock.pendingTimers, 0);
  });

  it("asks every replica with its token for nothing, and uses that connection for the next notification", async (t) => {
    const seen: string[] = [];
    const connections = new Set<unknown>();
    const port = await replica(t, (request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
      connections.add(request.socket);
      if (request.method === "GET") response.writeHead(204).end();
      else response.end(JSON.stringify(accepted));
    });
    const { operator, clock } = client(t, [endpoint(port), endpoint((await deadPod()).port, false)]);
    await operator.warm();
    assert.deepEqual(seen, ["GET /informer/warm Bearer secret"]);
    // the answer is read before its connection is free
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await operator.notify(notification)).ok, true);
    assert.equal(connections.size, 1);
    assert.equal(clock.pendingTimers, 0);
  });

  it("goes to the next replica at once when one cannot be reached, is stopping or is busy", async (t) => {
    const asked: string[] = [];
    const refuse = (reason: string) => (_: unknown, response: ServerResponse) => {
      asked.push(reason);
      response.writeHead(503, { "retry-after": "1" }).end(JSON.stringify({ reason }));
    };
    const closing = await replica(t, refuse("ELASTI_SERVER_CLOSING"));
    const busy = await replica(t, refuse("ELASTI_SERVER_BUSY"));
    const good = await replica(t, (_request, response) => response.end(JSON.stringify(accepted)));
    const { operator } = client(t, [
      endpoint((await deadPod()).port),
      endpoint(closing),
      endpoint(busy),
      endpoint(good),
    ]);
    assert.equal((await operator.notify(notification)).ok, true);
    assert.deepEqual(asked, ["ELASTI_SERVER_CLOSING", "ELASTI_SERVER_BUSY"]);
  });

  it("asks ready replicas first", async (t) => {
    const good = await replica(t, (_request, response) => response.end(JSON.stringify(accepted)));
    const other = await replica(t, () => assert.fail("asked a replica that is not ready"));
    const { operator } = client(t, [endpoint(other, false), endpoint(good)]);
    assert.equal((await operator.notify(notification)).ok, true);
  });

  it("gives a replica up that does not answer in time", async (t) => {
    const asked = Promise.withResolvers<void>();
    const mute = await replica(t, () => asked.resolve());
    const good = await replica(t, (_request, response) => response.end(JSON.stringify(accepted)));
    const { operator, clock } = client(t, [endpoint(mute), endpoint(good)]);
    const result = operator.notify(notification);
    await asked.promise;
    await clock.advance(10_000);
    assert.equal((await result).ok, true);
  });

  it("says so when there is no replica, and why when none can be reached", async (t) => {
    const none = await client(t, []).operator.notify(notification);
    assert.equal(!none.ok && none.reason, "ELASTI_NO_OPERATOR");
    const dead = await client(t, [endpoint((await deadPod()).port)]).operator.notify(notification);
    assert.equal(!dead.ok && dead.reason, "ELASTI_OPERATOR_UNREACHABLE");
    assert.match(!dead.ok ? dead.detail : "", /^operator-\d+ at 127.0.0.1:\d+: .*ECONNREFUSED/);
  });

  it("does not ask another replica when one says why the wake failed", async (t) => {
    const port = await replica(t, (_request, response) =>
      response
        .writeHead(503, { "retry-after": "7" })
        .end(JSON.stringify({ reason: "ELASTI_WAKE_FAILED", detail: "x" })),
    );
    const other = await replica(t, () => assert.fail("asked"));
    const { operator } = client(t, [endpoint(port), endpoint(other)]);
    assert.deepEqual(await operator.notify(notification), {
      ok: false,
      reason: "ELASTI_WAKE_FAILED",
      detail: "x",
      certain: false,
      retryAfterMs: 7_000,
    });
  });

  it("closes what it had to replicas that are gone", async (t) => {
    const ended = Promise.withResolvers<void>();
    const port = await replica(t, (request, response) => {
      request.socket.once("close", () => ended.resolve());
      response.end(JSON.stringify(accepted));
    });
    const endpoints = [endpoint(port)];
    const { operator, change } = client(t, endpoints);
    await operator.notify(notification);
    endpoints.pop();
    change();
    await ended.promise;
  });
});

describe("answers of the operator", () => {
  const problem = (reason?: string) => JSON.stringify({ title: "t", ...(reason === undefined ? {} : { reason }) });
  for (const [name, status, text, retryAfterMs, reason, certain] of [
    [
      "a refusal that may be another one later",
      503,
      problem("ELASTI_SCALE_FORBIDDEN"),
      1_000,
      "ELASTI_SCALE_FORBIDDEN",
      false,
    ],
    ["a refusal that stays", 503, problem("ELASTI_SCALE_REFUSED"), undefined, "ELASTI_SCALE_REFUSED", true],
    ["a quota", 503, problem("ELASTI_SCALE_QUOTA"), 1_000, "ELASTI_SCALE_QUOTA", true],
    [
      "a service that the operator does not know yet",
      404,
      problem("ELASTI_UNKNOWN_SERVICE"),
      undefined,
      "ELASTI_UNKNOWN_SERVICE",
      false,
    ],
    ["a token that is not accepted", 401, problem("ELASTI_BAD_TOKEN"), undefined, "ELASTI_BAD_TOKEN", false],
    ["a replica that stops", 503, problem("ELASTI_KUBE_CLOSED"), undefined, "ELASTI_KUBE_CLOSED", false],
    ["something in between", 502, "<html>", undefined, "HTTP-502", false],
    ["a 503 of something in between", 503, "<html>", undefined, "HTTP-503", false],
    ["a success that is none", 200, "{}", undefined, "ELASTI_OPERATOR_NONSENSE", false],
  ] as const)
    it(`reads ${name}`, () => {
      const result = resultOf(status, text, retryAfterMs);
      assert.deepEqual(!result.ok && [result.reason, result.certain], [reason, certain]);
    });
});

describe("replicas of the operator", () => {
  it("come from the slices of its Service, without those that go", () => {
    const slice = (endpoints: EndpointSlice["endpoints"], ports: EndpointSlice["ports"]): EndpointSlice => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "s" },
      addressType: "IPv4",
      endpoints,
      ports,
    });
    const ref = (uid: string) => ({ kind: "Pod", name: uid, uid });
    const list = operatorEndpoints(
      [
        slice(
          [
            { addresses: ["10.0.0.1"], conditions: { ready: false }, targetRef: ref("a") },
            { addresses: ["10.0.0.2"], targetRef: ref("b") },
            { addresses: ["10.0.0.3"], conditions: { ready: false, terminating: true }, targetRef: ref("c") },
          ],
          [
            { name: "metrics", port: 9 },
            { name: "http", port: 8013 },
          ],
        ),
      ],
      1,
    );
    assert.deepEqual(
      list.map(({ name, port }) => [name, port]),
      [
        ["b", 8013],
        ["a", 8013],
      ],
    );
    assert.equal(operatorEndpoints([slice([{ addresses: ["10.0.0.1"] }], [])], 7)[0]?.port, 7);
  });
});

describe("token file", () => {
  it("is read again at most once a minute, and the last token is kept", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "elasti-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, "token");
    const clock = new ManualClock();
    const file = new TokenFile(path, { clock, logger: silentLogger });
    assert.equal(await file.token(), undefined);
    await writeFile(path, "one\n");
    assert.equal(await file.token(), "one");
    await writeFile(path, "two\n");
    await clock.advance(59_000);
    assert.equal(await file.token(), "one");
    await clock.advance(1_000);
    assert.equal(await file.token(), "two");
    await writeFile(path, "no\ntoken\n");
    await clock.advance(60_000);
    assert.equal(await file.token(), "two");
    await rm(path);
    await clock.advance(60_000);
    assert.equal(await file.token(), "two");
    assert.equal(await new TokenFile("", { clock, logger: silentLogger }).token(), undefined);
  });
});
