import assert from "node:assert/strict";
import net from "node:net";
import { after, before, describe, it } from "node:test";
import { defineErrors, type Problem } from "@elasti/core";
import type { Waker } from "../src/elastiserver/server.ts";
import { operatorErrors } from "../src/errors.ts";
import { dialSession, TestResolver } from "./kit/resolver.ts";
import { startWorld, type World } from "./kit/server.ts";

const foreign = defineErrors({
  ELASTI_TEST_FORBIDDEN: { status: 403, retryable: true, title: "Not allowed" },
  ELASTI_TEST_DOWN: { status: 503, retryable: true, title: "API server is down" },
});

/** Answers by the service's name. */
const waker: Waker & { calls: unknown[] } = {
  calls: [],
  async wake(request) {
    this.calls.push(request);
    const { svc: service } = request;
    if (service === "unknown") throw operatorErrors.ELASTI_UNKNOWN_SERVICE("no ElastiService names shop/unknown");
    if (service === "forbidden") throw foreign.ELASTI_TEST_FORBIDDEN("not allowed to patch deployments/scale");
    if (service === "down") throw foreign.ELASTI_TEST_DOWN("no answer", { details: { retryAfterMs: 4_200 } });
    if (service === "broken") throw new Error("secret in a stack");
    return { message: "Request received successfully!", outcome: "scaled", replicas: 2, phase: "Waking", epoch: 7 };
  },
};

let world: World;
let ready: string | undefined;
let beside: string | undefined;
before(async () => {
  const readiness = [
    { name: "cache", check: () => ready },
    { name: "extra", optional: true, check: () => beside },
  ];
  world = await startWorld({ waker, readiness });
});
after(() => world.close());

const url = (path: string) => `http://127.0.0.1:${world.port}${path}`;
const notify = (body: unknown, init: RequestInit & { token?: string | null } = {}) =>
  fetch(url("/informer/incoming-request"), {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
    headers: {
      ...(init.token === null ? {} : { authorization: `Bearer ${init.token ?? "resolver-token"}` }),
      ...(init.headers as Record<string, string>),
    },
  });
const problem = async (response: Response): Promise<Problem> => {
  assert.match(response.headers.get("content-type") ?? "", /^application\/problem\+json/);
  const body = (await response.json()) as Problem;
  assert.equal(body.status, response.status);
  return body;
};
const good = { count: 1, svc: "web", namespace: "shop" };

describe("what is asked to keep the way open", () => {
  it("is answered to those who may notify, and wakes nothing", async () => {
    waker.calls.length = 0;
    const ask = (headers: Record<string, string>) => fetch(url("/informer/warm"), { headers });
    assert.equal((await ask({ authorization: "Bearer resolver-token" })).status, 204);
    assert.equal((await problem(await ask({}))).status, 401);
    assert.deepEqual(waker.calls, []);
  });
});

describe("notifications", () => {
  it("answers KubeElasti's message and what happened", async () => {
    waker.calls.length = 0;
    const response = await notify(good);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), {
      message: "Request received successfully!",
      outcome: "scaled",
      replicas: 2,
      phase: "Waking",
      epoch: 7,
    });
    assert.deepEqual(waker.calls, [good]);
  });

  it("reads JSON whatever the content type says, and takes unknown fields", async () => {
    for (const type of ["application/json", "text/plain", "application/x-www-form-urlencoded"]) {
      const response = await notify({ ...good, extra: true }, { headers: { "content-type": type } });
      assert.equal(response.status, 200, type);
    }
  });

  it("answers 405 with Allow to any other method", async () => {
    for (const method of ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]) {
      const response = await fetch(url("/informer/incoming-request"), { method });
      assert.equal(response.status, 405, method);
      assert.equal(response.headers.get("allow"), "POST");
    }
  });

  it("names every wrong field and what was expected", async () => {
    const fields = async (body: unknown) => {
      const response = await notify(body);
      assert.equal(response.status, 400);
      const { errors, reason } = await problem(response);
      assert.equal(reason, "ELASTI_BAD_NOTIFICATION");
      return (errors ?? []).map(({ field }) => field).sort();
    };
    assert.deepEqual(await fields({}), ["count", "namespace", "svc"]);
    assert.deepEqual(await fields({ ...good, count: "many" }), ["count"]);
    assert.deepEqual(await fields({ ...good, count: -1 }), ["count"]);
    assert.deepEqual(await fields({ ...good, count: 1.5, svc: "" }), ["count", "svc"]);
    assert.deepEqual(await fields({ ...good, namespace: "n".repeat(64) }), ["namespace"]);
    for (const body of ["[]", "null", '"text"', "7"]) assert.deepEqual(await fields(body), ["body"], body);
    const { errors } = await problem(await notify({ count: 1, namespace: "shop" }));
    assert.deepEqual(errors, [{ field: "svc", message: "is missing: expected a Service name, 1 to 63 characters" }]);
  });

  it("answers 400 to what is not JSON, and to no body", async () => {
    for (const body of ["{", "count=1", ""]) {
      const response = await notify(body);
      assert.equal(response.status, 400, body);
      assert.equal((await problem(response)).reason, "ELASTI_BAD_NOTIFICATION");
    }
  });

  it("answers 413 above 16 KB, with and without a length", async () => {
    const large = JSON.stringify({ ...good, pad: "x".repeat(17_000) });
    assert.equal((await problem(await notify(large))).reason, "ELASTI_NOTIFICATION_TOO_LARGE");
    const chunks = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 20; i++) controller.enqueue(new TextEncoder().encode("x".repeat(1_000)));
        controller.close();
      },
    });
    const response = await notify("", { body: chunks, duplex: "half" } as RequestInit);
    assert.equal(response.status, 413);
  });

  it("wants an allowed account", async () => {
    const none = await notify(good, { token: null });
    assert.equal(none.headers.get("www-authenticate"), "Bearer");
    assert.equal((await problem(none)).reason, "ELASTI_NO_TOKEN");
    assert.equal(none.status, 401);
    const wrong = await problem(await notify(good, { token: "made-up" }));
    assert.deepEqual([wrong.status, wrong.reason], [401, "ELASTI_BAD_TOKEN"]);
    const stranger = await problem(await notify(good, { token: "stranger-token" }));
    assert.deepEqual([stranger.status, stranger.reason], [403, "ELASTI_ACCOUNT_NOT_ALLOWED"]);
    assert.match(stranger.detail ?? "", /system:serviceaccount:shop:default/);
  });

  it("answers an unknown service with 404", async () => {
    const response = await notify({ ...good, svc: "unknown" });
    assert.equal(response.headers.get("elasti-reason"), "ELASTI_UNKNOWN_SERVICE");
    assert.equal((await problem(response)).status, 404);
  });

  it("answers failures of the wake with their reason and when to come back", async () => {
    const down = await notify({ ...good, svc: "down" });
    assert.equal(down.headers.get("retry-after"), "5");
    assert.equal((await problem(down)).reason, "ELASTI_TEST_DOWN");
    const forbidden = await notify({ ...good, svc: "forbidden" });
    assert.equal(forbidden.headers.get("retry-after"), "1");
    const { status, reason, detail } = await problem(forbidden);
    assert.deepEqual([status, reason], [503, "ELASTI_WAKE_FAILED"]);
    assert.equal(detail, "ELASTI_TEST_FORBIDDEN: not allowed to patch deployments/scale");
    const broken = await notify({ ...good, svc: "broken" });
    const text = await broken.text();
    assert.equal(broken.status, 503);
    assert.doesNotMatch(text, /secret/);
  });

  it("counts them by outcome", async () => {
    const text = await (await fetch(url("/metrics"))).text();
    assert.match(text, /elasti_notifications_total\{outcome="scaled"\} \d/);
    assert.match(text, /elasti_notifications_total\{outcome="ELASTI_UNKNOWN_SERVICE"\} 1/);
    assert.match(text, /elasti_notifications_total\{outcome="ELASTI_NO_TOKEN"\} 1/);
    assert.match(text, /elasti_notifications_total\{outcome="ELASTI_NOTIFICATION_TOO_LARGE"\} 2/);
  });

  it("takes an unexpected Upgrade header for a plain request", async () => {
    const socket = net.connect(world.port, "127.0.0.1");
    const body = JSON.stringify(good);
    socket.write(
      `POST /informer/incoming-request HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\nAuthorization: Bearer resolver-token\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    let answer = "";
    for await (const chunk of socket.setEncoding("utf8")) answer += chunk;
    assert.match(answer, /^HTTP\/1.1 200 /);
  });
});

describe("health", () => {
  it("is alive, and ready when every check holds", async () => {
    assert.equal((await fetch(url("/healthz"))).status, 200);
    const response = await fetch(url("/readyz"));
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), {
      ready: true,
      checks: [
        { name: "cache", ok: true },
        { name: "extra", ok: true },
      ],
    });
  });
  it("says which check fails and why", async () => {
    ready = "ElastiServices are not listed yet";
    const response = await fetch(url("/readyz"));
    ready = undefined;
    assert.equal(response.status, 503);
    assert.deepEqual(await response.json(), {
      ready: false,
      checks: [
        { name: "cache", ok: false, reason: "ElastiServices are not listed yet" },
        { name: "extra", ok: true },
      ],
    });
  });
  it("is ready without what it can do without, and says why that fails", async () => {
    beside = "no database";
    const response = await fetch(url("/readyz"));
    beside = undefined;
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), {
      ready: true,
      checks: [
        { name: "cache", ok: true },
        { name: "extra", ok: false, reason: "no database" },
      ],
    });
  });
  it("answers a problem for any other path", async () => {
    assert.equal((await problem(await fetch(url("/nothing")))).reason, "ELASTI_NO_SUCH_PATH");
  });
});

describe("requests for a session", () => {
  it("are refused without an allowed account", async () => {
    const none = await dialSession(world.port, "r1");
    assert.ok(!(none instanceof TestResolver) && none.status === 401);
    const stranger = await dialSession(world.port, "r1", "stranger-token");
    assert.ok(!(stranger instanceof TestResolver) && stranger.status === 403);
    assert.equal((JSON.parse(stranger.body) as Problem).reason, "ELASTI_ACCOUNT_NOT_ALLOWED");
    assert.deepEqual(world.hub.resolvers(), []);
  });
  it("need the upgrade", async () => {
    const response = await fetch(url("/informer/session"), { headers: { authorization: "Bearer resolver-token" } });
    assert.equal((await problem(response)).status, 426);
    assert.equal(response.headers.get("upgrade"), "elasti-session");
  });
  it("are refused beyond the bound", async () => {
    const small = await startWorld({ hub: { maxSessions: 1 } });
    await small.join("r1");
    const second = await dialSession(small.port, "r2", "resolver-token");
    assert.ok(!(second instanceof TestResolver) && second.status === 503);
    assert.equal(second.headers["retry-after"], "1");
    await small.close();
  });
});

describe("load and close", () => {
  it("tells notifications beyond the bound to come back, and finishes those at work while closing", async () => {
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const slow: Waker = {
      wake: async () => {
        entered.resolve();
        await gate.promise;
        return { message: "Request received successfully!", outcome: "in-progress", replicas: 1 };
      },
    };
    const busy = await startWorld({ waker: slow, server: { maxNotifications: 1 } });
    const post = () =>
      fetch(`http://127.0.0.1:${busy.port}/informer/incoming-request`, {
        method: "POST",
        headers: { authorization: "Bearer resolver-token" },
        body: JSON.stringify(good),
      });
    const first = post();
    await entered.promise;
    const second = await post();
    assert.equal(second.status, 503);
    assert.equal(second.headers.get("retry-after"), "1");
    assert.equal((await problem(second)).reason, "ELASTI_SERVER_BUSY");

    const resolver = await busy.join("r1");
    const closed = busy.close();
    await resolver.closed;
    await assert.rejects(post());
    gate.resolve();
    assert.equal((await first).status, 200);
    await closed;
    assert.equal(busy.clock.pendingTimers, 0);
  });

  for (const [what, sent] of [
    ["head", "POST /informer/incoming-request HTTP/1.1\r\nHo"],
    [
      "body",
      'POST /informer/incoming-request HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer resolver-token\r\nContent-Length: 99\r\n\r\n{"cou',
    ],
  ] as const)
    it(`does not wait for the rest of a ${what} whose sender is gone without a word`, async () => {
      const left = await startWorld();
      const arrived = Promise.withResolvers<void>();
      const socket = net.connect({ host: "127.0.0.1", port: left.port, allowHalfOpen: true });
      socket.on("error", () => {});
      socket.write(`GET /livez HTTP/1.1\r\nHost: x\r\n\r\n${sent}`);
      // what was sent with the first request is in when that one is answered
      socket.once("data", () => {
        socket.pause();
        arrived.resolve();
      });
      await arrived.promise;
      const closed = left.close();
      await left.clock.advance(500);
      await closed;
      socket.destroy();
      assert.equal(left.clock.pendingTimers, 0);
    });

  it("cuts what does not end in time", async () => {
    const entered = Promise.withResolvers<void>();
    const never: Waker = {
      wake: () => {
        entered.resolve();
        return new Promise(() => {});
      },
    };
    const stuck = await startWorld({ waker: never });
    const request = fetch(`http://127.0.0.1:${stuck.port}/informer/incoming-request`, {
      method: "POST",
      headers: { authorization: "Bearer resolver-token" },
      body: JSON.stringify(good),
    });
    const failed = assert.rejects(request);
    await entered.promise;
    const closed = stuck.close();
    await stuck.clock.advance(5_000);
    await failed;
    await closed;
  });
});
