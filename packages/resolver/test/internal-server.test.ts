import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "@elasti/core";
import { InternalServer } from "../src/internal-server.ts";

test("answers metrics, health, readiness with reasons, and queue status", async (t) => {
  const metrics = new Metrics();
  metrics.counter("elasti_test_total", "A counter.").inc();
  let reasons: string[] = ["draining"];
  const server = new InternalServer({
    bindAddress: "127.0.0.1",
    port: 0,
    metrics,
    notReady: () => reasons,
    heldOf: (namespace, service) => (namespace === "default" && service === "web" ? 3 : undefined),
  });
  await server.start();
  t.after(() => server.close());
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
  };
  assert.match((await get("/metrics")).text, /elasti_test_total 1/);
  assert.equal((await get("/healthz")).status, 200);
  assert.deepEqual(await get("/readyz").then(({ status, text }) => [status, JSON.parse(text)]), [
    503,
    { status: "not ready", reasons: ["draining"] },
  ]);
  reasons = [];
  assert.equal((await get("/readyz")).status, 200);
  assert.equal((await get("/queue-status?namespace=default&service=web")).text, '{"queueStatus":1}');
  assert.equal((await get("/queue-status?namespace=default&service=other")).text, '{"queueStatus":0}');
  const bad = await get("/queue-status?namespace=default&service=../x");
  assert.equal(bad.status, 400);
  assert.match(bad.type ?? "", /problem\+json/);
  assert.equal(JSON.parse(bad.text).reason, "ELASTI_BAD_QUERY");
  for (const query of [
    "",
    "?namespace=default",
    "?namespace=a&namespace=b&service=web",
    `?namespace=default&service=${"x".repeat(64)}`,
  ])
    assert.equal((await get(`/queue-status${query}`)).status, 400, query);
});
