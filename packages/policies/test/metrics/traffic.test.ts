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
  const passedBy = new TrafficSource({
    read: () => ({ requests_per_second: 1, in_flight: 1, held: 2, bypass: "clients reach pods directly" }),
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

  it("knows only what is held where requests pass the resolvers by", () => {
    const asked = { ...target, services: ["a"] };
    assert.equal(passedBy.read({ source: "traffic", signal: "held" }, asked, 7).kind, "value");
    for (const signal of ["requests_per_second", "in_flight"] as const) {
      const sample = passedBy.read({ source: "traffic", signal }, asked, 7);
      assert.ok(sample.kind === "unknown" && sample.message === "clients reach pods directly");
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
