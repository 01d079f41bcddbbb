import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { FIELD_MANAGER, resolverSliceName } from "@elasti/api";
import { type EndpointSlice, resources } from "@elasti/kube";
import { type Es, type OperatorWorld, startOperator } from "./kit/operator.ts";

const condition = ({ status }: Es, type: string) => status?.conditions?.find((one) => one.type === type);

describe("a Service that gets a port which no resolver serves", () => {
  let world: OperatorWorld;
  beforeEach(async () => {
    world = await startOperator();
  });
  afterEach(() => world.close());

  it("keeps its way, and does not sleep before all of it is led", async () => {
    const resolver = await world.resolver("resolver-0", { tells: true });
    await world.app("web", { service: { ports: [{ name: "http", port: 80 }] } });
    const served = { namespace: "default", service: "web" };
    resolver.send({ type: "routes", routes: [{ ...served, resolverPort: 10_000, port: 80 }] });
    await world.elastiService("web");
    await world.until("web", (es) => condition(es, "RoutingSupported")?.reason === "Always");
    const ports = [
      { name: "http", port: 80 },
      { name: "admin", port: 81 },
    ];
    await world.client.patch(
      resources.services,
      "default",
      "web",
      "merge",
      { spec: { ports } },
      { fieldManager: FIELD_MANAGER },
    );
    const partly = await world.until("web", (es) => condition(es, "Idle")?.message?.includes("every port") === true);
    assert.equal(condition(partly, "Idle")?.reason, "NoResolver");
    const slice = await world.client.get<EndpointSlice>(resources.endpointSlices, "default", resolverSliceName("web"));
    assert.deepEqual(
      slice.ports?.map(({ port }) => port),
      [10_000],
    );
    resolver.send({ type: "routes", routes: [{ ...served, resolverPort: 10_001, port: 81 }] });
    await world.until("web", (es) => condition(es, "Idle")?.message?.includes("every port") === false);
  });
});
