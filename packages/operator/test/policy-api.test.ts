import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Metrics, type Problem, silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { openStore, POLICY_API, policyRoutes, policyServices, type Store, TokenCallers } from "@elasti/policies";
import { StaticAuthenticator } from "../src/elastiserver/auth.ts";
import { ElastiServer } from "../src/elastiserver/server.ts";
import { SessionHub } from "../src/elastiserver/session-hub.ts";
import { resolverAccount, tokens } from "./kit/server.ts";

/** The API of the policies as elastiserver serves it, beside notifications. */

const clock = new ManualClock(Date.UTC(2026, 4, 4, 12));
const metrics = new Metrics({ clock, cacheMs: 0 });
const hub = new SessionHub({ clock, logger: silentLogger, metrics }, { operator: "operator-0" });
const nowhere = () => Promise.reject(new Error("not asked in this test"));
let store: Store;
let server: ElastiServer;
let url: string;

before(async () => {
  store = await openStore({ file: ":memory:", clock, logger: silentLogger });
  const services = policyServices({
    store,
    context: { targetTypes: { workload: { needsRef: true } }, catalogue: [] },
    evaluator: { evaluate: nowhere },
    elastiServices: { of: () => undefined, namespaces: () => [], wake: nowhere, serving: nowhere },
    overrides: { get: nowhere, put: nowhere, delete: nowhere },
    access: { mayPolicies: async ({ subject }) => subject === undefined, mayReadSecret: async () => false },
    clock,
    logger: silentLogger,
  });
  const callers = new TokenCallers({ clock, logger: silentLogger }, { audiences: [], staticToken: "the-token" });
  server = new ElastiServer(
    {
      waker: { wake: async () => ({ message: "Request received successfully!", outcome: "scaled", replicas: 1 }) },
      authenticator: new StaticAuthenticator(tokens, [resolverAccount]),
      sessions: hub,
      metrics,
      logger: silentLogger,
      clock,
      readiness: [],
      apis: [{ prefix: POLICY_API, routes: policyRoutes({ services, callers, logger: silentLogger }) }],
    },
    { host: "127.0.0.1", port: 0 },
  );
  await server.start();
  url = `http://127.0.0.1:${server.address.port}`;
});
after(async () => {
  await server.close();
  hub.close();
  metrics.close();
  await store.close();
});

const call = (method: string, path: string, body?: string, token = "the-token") =>
  fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body }),
  });

describe("what the reference got wrong", () => {
  it("handlers never mounted", async () => {
    const target_ref = { namespace: "shop", name: "web", kind: "Deployment" };
    const policy = JSON.stringify({ name: "web", target_type: "workload", target_ref });
    const made = await call("POST", `${POLICY_API}/policies`, policy);
    assert.equal(made.status, 201, await made.clone().text());
    const listed = (await (await call("GET", `${POLICY_API}/policies`)).json()) as { total_count: number };
    assert.equal(listed.total_count, 1);
    const document = (await (await fetch(`${url}${POLICY_API}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, unknown>>;
    };
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const method of Object.keys(methods)) {
        const answer = await call(method.toUpperCase(), path.replaceAll(/\{[a-z]+\}/g, "x"), undefined, "wrong");
        assert.equal(answer.status, 401, `${method} ${path}`);
      }
    }
  });
});

describe("the API beside notifications", () => {
  it("reads larger bodies than they may have, and JSON alone", async () => {
    const large = JSON.stringify({ name: "x".repeat(100_000) });
    assert.equal((await call("POST", `${POLICY_API}/policies`, large)).status, 400);
    const notification = await call("POST", "/informer/incoming-request", large, "resolver-token");
    assert.equal(notification.status, 413);
    const text = await fetch(`${url}${POLICY_API}/policies`, {
      method: "POST",
      body: "{}",
      headers: { authorization: "Bearer the-token", "content-type": "text/plain" },
    });
    assert.equal(text.status, 415);
    const plain = await fetch(`${url}/informer/incoming-request`, {
      method: "POST",
      body: JSON.stringify({ count: 1, svc: "web", namespace: "shop" }),
      headers: { authorization: "Bearer resolver-token", "content-type": "text/plain" },
    });
    assert.equal(plain.status, 200);
  });

  it("knows others than they do", async () => {
    assert.equal((await call("GET", `${POLICY_API}/policies`, undefined, "resolver-token")).status, 401);
    const notification = JSON.stringify({ count: 1, svc: "web", namespace: "shop" });
    assert.equal((await call("POST", "/informer/incoming-request", notification, "the-token")).status, 401);
  });

  it("answers paths that cannot be read with a problem", async () => {
    for (const path of ["/%zz", `${POLICY_API}/policies/%zz`, `${POLICY_API}/policies/${"x".repeat(2_000)}`]) {
      const answer = await call("GET", path);
      assert.equal(answer.status, 404, path);
      assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
      assert.equal(((await answer.json()) as Problem).reason, "ELASTI_NO_SUCH_PATH");
    }
  });
});
