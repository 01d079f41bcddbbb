import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { resolverSliceName } from "@elasti/api";
import { type EndpointSlice, isNotFound, resources, type Service } from "@elasti/kube";
import { type Es, type OperatorWorld, startOperator } from "./kit/operator.ts";

const condition = ({ status }: Es, type: string) => status?.conditions?.find((one) => one.type === type);

describe("a resolver that serves another Service on the port of one", () => {
  let world: OperatorWorld;
  beforeEach(async () => {
    world = await startOperator();
  });
  afterEach(() => world.close());

  const served = (service: string) => ({ resolverPort: 10_000, namespace: "default", service, port: 80 });
  const slice = async (): Promise<EndpointSlice | undefined> => {
    try {
      return await world.client.get<EndpointSlice>(resources.endpointSlices, "default", resolverSliceName("web"));
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  };
  const isParked = async () => {
    const { spec } = await world.client.get<Service>(resources.services, "default", "web");
    return Object.keys(spec.selector ?? {}).length > 1;
  };

  it("is left out, which is said, until it serves this one, and again when it does so no more", async () => {
    const resolver = await world.resolver("resolver-0", { tells: true });
    await world.app("web");
    await world.elastiService("web");
    resolver.send({ type: "routes", routes: [served("other")] });
    const taken = await world.until("web", (es) => condition(es, "ResolverPortTaken") !== undefined);
    assert.match(
      condition(taken, "ResolverPortTaken")?.message ?? "",
      /^port 10000 of resolver-0 leads to default\/other: /,
    );
    assert.equal(condition(taken, "RoutingSupported")?.reason, "NoResolver");
    assert.deepEqual([await slice(), await isParked()], [undefined, false]);

    resolver.send({ type: "routes", routes: [served("web")] });
    const led = await world.until("web", (es) => condition(es, "RoutingSupported")?.reason === "Always");
    assert.equal(condition(led, "ResolverPortTaken"), undefined);
    assert.deepEqual([(await slice())?.endpoints.length, await isParked()], [1, true]);

    resolver.send({ type: "routes", routes: [served("other")] });
    await world.until("web", (es) => condition(es, "RoutingSupported")?.reason === "NoResolver");
    assert.deepEqual((await slice())?.endpoints ?? [], []);
  });
});
