import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { WarmOperators } from "../src/warm-operators.ts";

describe("the way to the operators", () => {
  it("is kept warm from the start, one round after another, until it is closed", async () => {
    const clock = new ManualClock();
    const rounds: PromiseWithResolvers<void>[] = [];
    const operators = {
      warm() {
        rounds.push(Promise.withResolvers<void>());
        return rounds.at(-1)!.promise;
      },
    };
    const warm = new WarmOperators({ operators, clock });
    await warm.start();
    await clock.advance(60_000);
    assert.equal(rounds.length, 1);
    rounds[0]!.resolve();
    await clock.advance(0);
    await clock.advance(20_000);
    assert.equal(rounds.length, 2);
    rounds[1]!.resolve();
    await clock.advance(0);
    await warm.close();
    assert.equal(clock.pendingTimers, 0);
    await clock.advance(60_000);
    assert.equal(rounds.length, 2);
  });
});
