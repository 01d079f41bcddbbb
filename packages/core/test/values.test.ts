import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Type } from "typebox";
import {
  Backoff,
  defineErrors,
  ElastiError,
  formatDuration,
  Metrics,
  parseDuration,
  problemOf,
  readConfig,
  redactConfig,
  setting,
} from "../src/index.ts";
import { ManualClock } from "../src/testing.ts";

describe("durations", () => {
  for (const [text, ms] of [
    ["0", 0],
    ["250ms", 250],
    ["30s", 30_000],
    ["1h30m", 5_400_000],
    ["1.5s", 1_500],
    ["7d", 604_800_000],
  ] as const) {
    it(`reads ${text}`, () => assert.equal(parseDuration(text), ms));
  }
  for (const text of ["", "30", "s", "1h 30m", "-1s", "1s?", "1w"]) {
    it(`refuses "${text}"`, () => assert.throws(() => parseDuration(text), { code: "ELASTI_BAD_DURATION" }));
  }
  it("writes whole seconds so that they are read back as the same", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 700_000 }), (seconds) => {
        assert.equal(parseDuration(formatDuration(seconds * 1_000)), seconds * 1_000);
      }),
    );
  });
});

describe("settings", () => {
  const table = {
    count: setting.integer({ env: "COUNT", fallback: "3", min: 1, max: 9, description: "x" }),
    pause: setting.durationMs({ env: "PAUSE", fallback: "30s", minMs: 1_000, description: "x" }),
    on: setting.boolean({ env: "ON", fallback: "false", description: "x" }),
    mode: setting.oneOf({ env: "MODE", fallback: "a", values: ["a", "b"], description: "x" }),
    names: setting.list({ env: "NAMES", fallback: "", description: "x" }),
    tokens: setting.json({
      env: "TOKENS",
      fallback: "{}",
      secret: true,
      expected: "an object",
      schema: Type.Record(Type.String(), Type.String()),
      description: "x",
    }),
    name: setting.text({ env: "NAME", description: "x" }),
  };

  it("have defaults, and are read as what they are", () => {
    assert.deepEqual(readConfig(table, { NAME: "n", NAMES: "a, b,", ON: "true", COUNT: "" }), {
      count: 3,
      pause: 30_000,
      on: true,
      mode: "a",
      names: ["a", "b"],
      tokens: {},
      name: "n",
    });
  });

  it("are refused all at once, each by its name and with what was expected, and secrets are not shown", () => {
    const env = { COUNT: "12", PAUSE: "10", ON: "yes", MODE: "c", TOKENS: '{"hush":1}' };
    assert.throws(
      () => readConfig(table, env),
      (error) => {
        assert.ok(error instanceof ElastiError);
        const problems = error.details.errors as { field: string; message: string }[];
        assert.deepEqual(
          problems.map(({ field }) => field),
          ["COUNT", "PAUSE", "ON", "MODE", "TOKENS", "NAME"],
        );
        assert.match(error.message, /COUNT "12" cannot be used: expected a whole number from 1 to 9/);
        assert.match(error.message, /NAME is required/);
        assert.doesNotMatch(error.message, /hush/);
        return true;
      },
    );
  });

  it("are printed without secrets", () => {
    const config = readConfig(table, { NAME: "n", TOKENS: '{"hush":"a"}' });
    assert.doesNotMatch(JSON.stringify(redactConfig(table, config)), /hush/);
  });

  it("takes no notice of what Kubernetes says of Services under the name of a setting", () => {
    const port = setting.integer({ env: "ELASTI_OPERATOR_PORT", fallback: "8013", description: "a port" });
    assert.deepEqual(readConfig({ port }, { ELASTI_OPERATOR_PORT: "tcp://10.96.74.30:8013" }), { port: 8013 });
  });
});

describe("errors", () => {
  const errors = defineErrors({ ELASTI_GONE: { status: 410, retryable: false, title: "It is gone" } });

  it("become problem documents with every wrong field", () => {
    const error = errors.ELASTI_GONE("web is gone", { details: { errors: [{ field: "svc", message: "gone" }] } });
    assert.deepEqual(problemOf(error, "/a"), {
      type: "urn:elasti:error:ELASTI_GONE",
      title: "It is gone",
      status: 410,
      detail: "web is gone",
      reason: "ELASTI_GONE",
      instance: "/a",
      errors: [{ field: "svc", message: "gone" }],
    });
  });

  it("that are not ours tell nothing of themselves", () => {
    assert.deepEqual(problemOf(new Error("password")), {
      type: "about:blank",
      title: "Internal Server Error",
      status: 500,
    });
  });
});

describe("back-off", () => {
  it("doubles up to its longest, between half and all of it, and begins again after a reset", () => {
    const least = new Backoff(100, 1_000, () => 0);
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => least.next()),
      [50, 100, 200, 400, 500],
    );
    const most = new Backoff(100, 1_000, () => 1);
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => most.next()),
      [100, 200, 400, 800, 1_000],
    );
    most.reset();
    assert.equal(most.next(), 100);
  });
});

describe("a manual clock", () => {
  it("fires timers in the order of their times, and none that was cancelled", async () => {
    const clock = new ManualClock(0);
    const fired: string[] = [];
    clock.after(20, () => fired.push(`b at ${clock.now()}`));
    clock.after(10, () => fired.push(`a at ${clock.now()}`));
    clock.after(15, () => fired.push("never")).cancel();
    await clock.advance(30);
    assert.deepEqual(fired, ["a at 10", "b at 20"]);
    assert.equal(clock.now(), 30);
    assert.equal(clock.pendingTimers, 0);
  });

  it("ends a sleep that is aborted, with the reason and without a timer", async () => {
    const clock = new ManualClock();
    const abort = new AbortController();
    const sleep = clock.sleep(1_000, abort.signal);
    abort.abort(new Error("enough"));
    await assert.rejects(sleep, /enough/);
    assert.equal(clock.pendingTimers, 0);
  });
});

describe("metrics", () => {
  it("are rendered once for scrapes that come together", async () => {
    const clock = new ManualClock();
    const metrics = new Metrics({ clock, cacheMs: 1_000 });
    const counter = metrics.counter("a_total", "a");
    counter.inc();
    assert.match(await metrics.render(), /a_total 1/);
    counter.inc();
    assert.match(await metrics.render(), /a_total 1/);
    await clock.advance(1_000);
    assert.match(await metrics.render(), /a_total 2/);
  });
});
