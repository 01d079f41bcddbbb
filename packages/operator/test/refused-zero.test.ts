import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { SessionDown } from "@elasti/api";
import { type Deployment, resources } from "@elasti/kube";
import { type Es, type OperatorWorld, startOperator } from "./kit/operator.ts";

const denials: [what: string, status: number, reason: string, message: string][] = [
  ["an admission webhook", 403, "Forbidden", 'admission webhook "keep.example.com" denied the request: at least one'],
  ["an admission policy", 422, "Invalid", 'ValidatingAdmissionPolicy "keep" with binding "keep" denied request'],
  [
    "authorization",
    403,
    "Forbidden",
    'deployments.apps "web" is forbidden: User "operator" cannot patch resource "deployments/scale" in API group "apps"',
  ],
];

/** A Prometheus that is healthy, and to which everything is idle. */
async function idlePrometheus(): Promise<Server> {
  const server = createServer(async (request, response) => {
    let query = "";
    for await (const chunk of request.setEncoding("utf8")) query += chunk;
    const value = query.includes("min_over_time") ? "1" : "0";
    const result = [{ metric: {}, value: [Date.now() / 1_000, value] }];
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ status: "success", data: { resultType: "vector", result } }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

describe("a write to zero that is refused", () => {
  let prometheus: Server;
  let world: OperatorWorld;
  beforeEach(async () => {
    prometheus = await idlePrometheus();
    const { port } = prometheus.address() as AddressInfo;
    world = await startOperator({ PROMETHEUS_TRIGGER_SERVER_ADDRESS: `http://127.0.0.1:${port}` });
  });
  afterEach(async () => {
    await world.close();
    prometheus.closeAllConnections();
    await new Promise((resolve) => prometheus.close(resolve));
  });

  for (const [what, status, reason, message] of denials)
    it(`by ${what} ends the sleep, and is not tried again and again under the seal`, async () => {
      await world.app("web");
      const resolver = await world.resolver();
      resolver.onLine = (line: SessionDown) => {
        if (line.type === "ping") resolver.send({ type: "ping" });
        if (line.type !== "seal") return;
        const { namespace, service, epoch } = line;
        resolver.send({ type: "sealed", namespace, service, epoch, ok: true });
      };
      const denied = world.faults.fail({ verb: "patch", resource: "deployments", subresource: "scale" }, status, {
        reason,
        message,
      });
      const routing = { mode: "EndpointSlice", graceSeconds: 0 } as const;
      const triggers = [{ type: "prometheus" as const, metadata: { query: "load", threshold: "1" } }];
      await world.elastiService("web", { cooldownPeriod: 1, routing, triggers });
      const sealed = await world.until("web", (es: Es) => es.status?.phase === "Sealed");
      const undone = await world.until("web", (es) => (es.status?.epoch ?? 0) > (sealed.status?.epoch ?? 0));
      assert.equal(undone.status?.phase, "Serving");
      assert.equal(denied.hits, 1);
      const { spec } = await world.client.get<Deployment>(resources.deployments, "default", "web");
      assert.equal(spec.replicas, 1);
    });
});
