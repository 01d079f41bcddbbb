import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { API_VERSION, elastiServiceCrd, KIND } from "@elasti/api";
import { silentLogger, systemClock } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { createKubeClient, type KubeClient, type KubeObject, resources } from "@elasti/kube";
import { type ApiServer, startApiServer } from "@elasti/local";
import { ClusterView, type StoredElastiService } from "../../src/lifecycle/cluster-view.ts";
import { phaseChange, StatusWriter } from "../../src/lifecycle/status-writer.ts";

interface Crd extends KubeObject {
  spec: {
    versions: {
      schema: { openAPIV3Schema: { properties: { status: { properties: Record<string, unknown> } } } };
    }[];
  };
}

describe("a writer of status on a cluster with an older CustomResourceDefinition", () => {
  let api: ApiServer;
  let client: KubeClient;
  let view: ClusterView;
  let clock: ManualClock;
  let writer: StatusWriter;
  let es: StoredElastiService;
  /** Patches that keep nothing, and have been answered. */
  let looks: number;
  const current = elastiServiceCrd() as unknown as Crd;

  const define = ({ spec: { versions: value } }: Crd): Promise<unknown> =>
    client.patch(resources.customResourceDefinitions, undefined, current.metadata.name, "json", [
      { op: "replace", path: "/spec/versions", value },
    ]);
  const stored = (): Promise<StoredElastiService> => client.get(resources.elastiServices, "default", "web");
  async function looked(times: number): Promise<void> {
    while (looks < times) await new Promise((resolve) => setImmediate(resolve));
  }

  beforeEach(async () => {
    looks = 0;
    api = await startApiServer({ tokens: { secret: "operator" } });
    client = createKubeClient({
      cluster: { server: api.url, token: async () => "secret" },
      transport: async (request, next) => {
        const answer = await next(request);
        if (request.verb === "patch" && request.query.dryRun === "All") looks += 1;
        return answer;
      },
    });
    await client.create(resources.customResourceDefinitions, current);
    es = await client.create<StoredElastiService>(resources.elastiServices, {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { name: "web", namespace: "default" },
      spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
    });
    view = new ClusterView({ client, logger: silentLogger, clock: systemClock });
    await view.start();
    const old = structuredClone(current);
    delete old.spec.versions[0]!.schema.openAPIV3Schema.properties.status.properties.phase;
    await define(old);
    clock = new ManualClock();
    writer = new StatusWriter(client, view, clock);
    await assert.rejects(writer.write(es, phaseChange(undefined, "Serving", 0)), { code: "ELASTI_CRD_OUTDATED" });
  });
  afterEach(async () => {
    await view.close();
    await client.close();
    await api.close();
  });

  it("finds out that it was replaced, though it has nothing to write, and stores nothing by that", async () => {
    assert.match(writer.lookAgain() ?? "", /drops status\.phase of/);
    await clock.advance(2_000);
    assert.match(writer.lookAgain() ?? "", /drops status\.phase of/);
    // one at a time, and not again before the pause is over
    writer.lookAgain();
    await looked(1);
    assert.match(writer.lookAgain() ?? "", /drops status\.phase of/);
    assert.equal(looks, 1);
    await define(current);
    const { resourceVersion } = (await stored()).metadata;
    await clock.advance(30_000);
    writer.lookAgain();
    while (writer.outdated !== undefined) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(looks, 2);
    const { status, metadata } = await stored();
    assert.equal(status?.phase, undefined);
    assert.equal(metadata.resourceVersion, resourceVersion);
    await writer.write(await stored(), phaseChange(status, "Serving", 0));
    assert.equal((await stored()).status?.phase, "Serving");
  });

  it("has nothing to say when the object is gone", async () => {
    await client.delete(resources.elastiServices, "default", "web");
    await clock.advance(2_000);
    writer.lookAgain();
    while (writer.outdated !== undefined) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(writer.lookAgain(), undefined);
  });
});
