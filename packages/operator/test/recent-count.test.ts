import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { RecentCount } from "../src/elastiserver/recent-count.ts";

const T = 1_000_000_000_000;

describe("a count of late", () => {
  it("is a rate over the last minute, or since it is counted", () => {
    const count = new RecentCount();
    for (let second = 0; second < 120; second++) count.add(second < 60 ? 2 : 5, T + second * 1_000);
    assert.equal(count.perSecond(T, T + 120_000), 5);
    assert.equal(count.perSecond(T + 100_000, T + 120_000), 5);
    assert.equal(count.perSecond(T + 115_000, T + 120_000), undefined);
    assert.equal(count.perSecond(T, T + 600_000), 0);
    assert.equal(new RecentCount().perSecond(T, T + 20_000), 0);
  });

  it("never counts more than there was, whatever the pauses", () => {
    const steps = fc.array(fc.tuple(fc.nat(20_000), fc.nat(100)), { maxLength: 100 });
    fc.assert(
      fc.property(steps, fc.nat(90_000), (added, sinceAgo) => {
        const count = new RecentCount();
        let now = T;
        const all = added.map(([pause, n]) => {
          now += pause;
          count.add(n, now);
          return { at: now, n };
        });
        const rate = count.perSecond(now - sinceAgo, now);
        if (rate === undefined) return;
        const from = Math.max(now - sinceAgo, now - 60_000);
        const sum = (since: number) => all.reduce((total, { at, n }) => total + (at >= since ? n : 0), 0);
        assert.ok(rate * 60 <= (sum(from) * 60) / 10 + 1e-9);
        // all but what fell into the first bucket, which may be cut off
        assert.ok(rate * ((now - from) / 1_000) >= sum(from + 5_000) - 1e-9);
      }),
    );
  });
});
