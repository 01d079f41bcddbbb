import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TrafficSource } from "../../src/index.ts";

describe("metrics of traffic", () => {
  const source = new TrafficSource({
    read: (namespace, service) =>
      service === "silent"
        ? `a resolver of ${namespace}/${service} is silent`
        : { requests_per_second: service === "new" ? undefined : 2.5, in_flight: 3, held: 4 },
  });
  const target = { namespace: "shop", name: "web" };

  it("adds up what resolvers count of the services behind a target", () => {
    const services = ["a", "b"];
    for (const [signal, value] of [
      ["requests_per_second", 5],
      ["in_flight", 6],
      ["held", 8],
    ] as const) {
      assert.deepEqual(source.read({ source: "traffic", signal }, { ...target, services }, 7), {
        kind: "value",
        value,
        atMs: 7,
      });
    }
  });

  it("knows nothing where one of them is not known", () => {
    for (const [services, message] of [
      [undefined, /no ElastiService names shop\/web/],
      [["a", "silent"], /a resolver of shop\/silent is silent/],
      [["a", "new"], /shop\/new has not been watched for long enough/],
    ] as const) {
      const asked = { ...target, ...(services === undefined ? {} : { services }) };
      const sample = source.read({ source: "traffic", signal: "requests_per_second" }, asked, 7);
      assert.ok(sample.kind === "unknown" && sample.reason === "TrafficNotKnown");
      assert.match(sample.message, message);
    }
  });
});
