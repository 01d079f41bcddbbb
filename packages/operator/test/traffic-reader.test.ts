import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { trafficReader } from "../src/policies/traffic-reader.ts";

describe("traffic as policies read it", () => {
  const view = { requests: 9, inFlight: 2, held: 1, lastRequestAtMs: undefined, observedSinceMs: 0 };
  const readerOf = (reporters: string[], required: string[], bypass?: string) =>
    trafficReader({
      hub: { traffic: () => ({ ...view, reporters }), requestsPerSecond: () => 2.5 },
      required: () => required,
      bypass: () => bypass,
    });

  it("is what the resolvers report, where all that must report do", () => {
    const reading = readerOf(["r1", "r2"], ["r1"]).read("shop", "web");
    assert.deepEqual(reading, { requests_per_second: 2.5, in_flight: 2, held: 1 });
    assert.equal(readerOf([], []).read("shop", "web"), "no resolver reports");
    assert.equal(readerOf(["r2"], ["r1", "r2"]).read("shop", "web"), "resolver r1 does not report");
  });

  it("says where requests pass the resolvers by", () => {
    const reading = readerOf(["r1"], ["r1"], "directly").read("shop", "web");
    assert.deepEqual(reading, { requests_per_second: 2.5, in_flight: 2, held: 1, bypass: "directly" });
  });
});
