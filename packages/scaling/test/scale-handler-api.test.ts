import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  createKubeClient,
  type Deployment,
  type KubeClient,
  type KubeRequest,
  resources,
  ScaleClient,
} from "@elasti/kube";
import { type ApiServer, startApiServer } from "@elasti/local";
import { ScaleHandler } from "../src/index.ts";
import { deployment } from "./scale-store.ts";

const web = deployment("web");

describe("ScaleHandler against an API server", () => {
  let api: ApiServer;
  let client: KubeClient;
  let handler: ScaleHandler;
  /** Accepted writes to /scale. */
  let accepted: KubeRequest[];

  beforeEach(async () => {
    accepted = [];
    api = await startApiServer({ tokens: { secret: "operator" } });
    client = createKubeClient({
      cluster: { server: api.url, token: async () => "secret" },
      transport: async (request, next) => {
        const response = await next(request);
        if (request.subresource === "scale" && request.method === "PATCH" && response.status === 200) {
          accepted.push(request);
        }
        return response;
      },
    });
    handler = new ScaleHandler({ client: new ScaleClient(client) });
    const labels = { app: "web" };
    await client.create<Deployment>(resources.deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "default" },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: "web", image: "web" }] } },
      },
    });
  });
  afterEach(async () => {
    await handler.close();
    await client.close();
    await api.close();
  });
  const replicas = async () => {
    const found = await client.get<Deployment>(resources.deployments, "default", "web");
    return found.spec.replicas;
  };

  it("200 first requests cause exactly one accepted write to /scale", async () => {
    const wakes = Array.from({ length: 200 }, () => handler.wake({ ref: web, wanted: 2, reason: "request" }));
    const outcomes = (await Promise.all(wakes)).map(({ outcome }) => outcome);
    assert.equal(accepted.length, 1);
    assert.equal(outcomes.filter((outcome) => outcome === "scaled").length, 1);
    assert.equal(await replicas(), 2);
  });

  it("wakes, sleeps, fences a zero that is late, and wakes again", async () => {
    const awake = await handler.wake({ ref: web, wanted: 1, reason: "request" });
    const late = awake.resourceVersion;
    const fenced = await handler.fence({ ref: web, epoch: 3, replicas: 1 });
    assert.notEqual(fenced.resourceVersion, late);
    assert.equal(await handler.zero({ ref: web, resourceVersion: late }), "conflict");
    assert.equal(await replicas(), 1);
    assert.equal(await handler.zero({ ref: web, resourceVersion: fenced.resourceVersion }), "done");
    assert.equal(await replicas(), 0);
    const after = await handler.fence({ ref: web, epoch: 5, replicas: 2 });
    assert.deepEqual([after.replicas, after.landed], [2, true]);
    assert.equal(await replicas(), 2);
  });

  it("says what is wrong with a target that is missing or has no scale", async () => {
    const missing = handler.wake({ ref: deployment("nothing"), wanted: 1, reason: "request" });
    await assert.rejects(missing, { code: "ELASTI_SCALE_TARGET_MISSING", message: /default\/nothing/ });
    const ref = { namespace: "default", name: "web", resource: resources.configMaps };
    await assert.rejects(handler.wake({ ref, wanted: 1, reason: "request" }), { code: "ELASTI_SCALE_NO_SUBRESOURCE" });
  });
});
