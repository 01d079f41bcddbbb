import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { pipeline, Readable } from "node:stream";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Metrics } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import {
  PrometheusScaler,
  type PrometheusTrigger,
  QueryClient,
  type QueryClientOptions,
  type Scaler,
  ServerPolicy,
  spreadOffsetMs,
  triggerQueryMetrics,
} from "../src/index.ts";
import { healthQuery } from "../src/scalers/prometheus-scaler.ts";
import { PrometheusStub, reply, success, trigger, vector } from "./prometheus-stub.ts";
import { assertNothingLeft, scalerContract } from "./scaler-contract.ts";

const signal = new AbortController().signal;
const loopback = new ServerPolicy(["127.0.0.1"]);

/** A scaler that owns its query client. */
function owning(scaler: Scaler, client: QueryClient): Scaler {
  return {
    isHealthy: (...args) => scaler.isHealthy(...args),
    shouldScaleToZero: (...args) => scaler.shouldScaleToZero(...args),
    shouldScaleFromZero: (...args) => scaler.shouldScaleFromZero(...args),
    close: async () => {
      await scaler.close();
      await client.close();
    },
  };
}

scalerContract("PrometheusScaler", async () => {
  const stub = new PrometheusStub();
  const url = await stub.listen();
  const clock = new ManualClock();
  const client = new QueryClient({ clock, policy: loopback });
  const scaler = new PrometheusScaler(trigger(url), client, 60_000);
  return {
    scaler: owning(scaler, client),
    now: () => clock.now(),
    samples: () => stub.asked.length,
    dispose: () => stub.close(),
    become: async (state) => {
      await clock.advance(5_000);
      if (state === "gone") await stub.close();
      stub.answer = (query, response) => {
        reply(response, vector(query.includes("up{") || state === "active" ? "1" : "0"));
      };
    },
  };
});

describe("PrometheusScaler", () => {
  let stub: PrometheusStub;
  let clock: ManualClock;
  let client: QueryClient;
  const scalerOf = (more: Partial<PrometheusTrigger> = {}, cooldownMs = 900_000) =>
    new PrometheusScaler(trigger(stub.url, more), client, cooldownMs);
  const renewClient = async (options: QueryClientOptions) => {
    await client.close();
    client = new QueryClient({ clock, policy: loopback, ...options });
  };

  beforeEach(async () => {
    stub = new PrometheusStub();
    await stub.listen();
    clock = new ManualClock();
    client = new QueryClient({ clock, policy: loopback });
  });
  afterEach(async () => {
    await client.close();
    await stub.close();
    assert.equal(clock.pendingTimers, 0);
    await assertNothingLeft();
  });

  it("posts the query as a form, below the path of the server", async () => {
    await scalerOf({ server: `${stub.url}/prefix`, headers: { authorization: "Bearer x" } }).shouldScaleToZero(signal);
    const [asked] = stub.asked;
    assert.equal(asked?.path, "POST /prefix/api/v1/query");
    assert.equal(asked?.query, "sum(rate(requests_total[1m]))");
    assert.equal(asked?.headers["content-type"], "application/x-www-form-urlencoded");
    assert.equal(asked?.headers.authorization, "Bearer x");
  });

  const values: [string, object, "Active" | "Idle"][] = [
    ["a value below the threshold", vector("0.4999"), "Idle"],
    ["a value at the threshold", vector("0.5"), "Active"],
    ["a value above it", vector("1e+06"), "Active"],
    ["a negative value", vector("-3"), "Idle"],
    ["a scalar", success({ resultType: "scalar", result: [1, "0"] }), "Idle"],
    ["infos beside the result", { ...vector("0"), infos: ["metric might not be a counter"] }, "Idle"],
  ];
  for (const [name, body, kind] of values) {
    it(`calls ${name} ${kind}`, async () => {
      stub.answer = (_query, response) => reply(response, body);
      assert.equal((await scalerOf().shouldScaleToZero(signal)).kind, kind);
    });
  }

  const unknown: [string, string, (response: ServerResponse) => void][] = [
    ["an empty result", "NoData", (r) => reply(r, vector())],
    ["several series", "SeveralSeries", (r) => reply(r, vector("0", "0"))],
    ["NaN", "NotANumber", (r) => reply(r, vector("NaN"))],
    ["+Inf", "Infinite", (r) => reply(r, vector("+Inf"))],
    ["-Inf", "Infinite", (r) => reply(r, vector("-Inf"))],
    ["a number beyond doubles", "Infinite", (r) => reply(r, vector("1e999"))],
    ["null", "NullValue", (r) => reply(r, vector(null))],
    ["a number that is no text", "MalformedAnswer", (r) => reply(r, vector(0))],
    ["an empty value", "MalformedAnswer", (r) => reply(r, vector(""))],
    ["hexadecimal", "MalformedAnswer", (r) => reply(r, vector("0x0"))],
    ["a series without a value", "MalformedAnswer", (r) => reply(r, success({ resultType: "vector", result: [{}] }))],
    ["a vector that is no list", "MalformedAnswer", (r) => reply(r, success({ resultType: "vector", result: {} }))],
    ["a null series", "MalformedAnswer", (r) => reply(r, success({ resultType: "vector", result: [null] }))],
    [
      "a histogram",
      "WrongResultType",
      (r) => reply(r, success({ resultType: "vector", result: [{ metric: {}, histogram: [1, {}] }] })),
    ],
    ["a matrix", "WrongResultType", (r) => reply(r, success({ resultType: "matrix", result: [] }))],
    ["a string", "WrongResultType", (r) => reply(r, success({ resultType: "string", result: [1, "0"] }))],
    ["no data", "MalformedAnswer", (r) => reply(r, { status: "success" })],
    ["an unknown status", "MalformedAnswer", (r) => reply(r, { status: "fine", data: {} })],
    ["a list", "MalformedAnswer", (r) => reply(r, [])],
    ["null alone", "MalformedAnswer", (r) => reply(r, "null")],
    ["half an answer", "MalformedAnswer", (r) => reply(r, '{"status":"success","data":{')],
    ["a login page", "MalformedAnswer", (r) => reply(r, "<html>please log in</html>")],
    ["an empty body", "MalformedAnswer", (r) => reply(r, "")],
    ["warnings", "Warnings", (r) => reply(r, { ...vector("0"), warnings: ["a store did not answer"] })],
    [
      "a query that is refused",
      "QueryRejected",
      (r) => reply(r, { status: "error", errorType: "bad_data", error: "x" }, 400),
    ],
    ["an error with status 200", "QueryRejected", (r) => reply(r, { status: "error", errorType: "x", error: "y" })],
    ["HTTP 401", "PrometheusStatus", (r) => reply(r, "no", 401)],
    ["HTTP 404", "PrometheusStatus", (r) => reply(r, "404 page not found", 404)],
    ["HTTP 503", "PrometheusStatus", (r) => reply(r, { status: "error", errorType: "unavailable", error: "x" }, 503)],
    ["HTTP 500 with a good body", "PrometheusStatus", (r) => reply(r, vector("0"), 500)],
    ["HTTP 204", "PrometheusStatus", (r) => r.writeHead(204).end()],
    ["a reset", "PrometheusUnreachable", (r) => r.socket?.resetAndDestroy()],
    [
      "an answer that is cut off",
      "PrometheusUnreachable",
      (r) => {
        r.writeHead(200, { "content-length": 1_000 });
        r.write("{", () => r.socket?.destroy());
      },
    ],
    ["a huge answer of known length", "AnswerTooLarge", (r) => reply(r, " ".repeat(1024 * 1024 + 1))],
    [
      "an endless answer",
      "AnswerTooLarge",
      (r) => {
        const endless = function* () {
          for (;;) yield " ".repeat(65_536);
        };
        pipeline(Readable.from(endless()), r, () => {});
      },
    ],
  ];
  for (const [name, reason, answer] of unknown) {
    it(`calls ${name} Unknown (${reason})`, async () => {
      stub.answer = (_query, response) => answer(response);
      const scaler = scalerOf();
      const verdict = await scaler.shouldScaleToZero(signal);
      assert.deepEqual([verdict.kind, verdict.reason], ["Unknown", reason]);
      assert.ok(verdict.message.length < 400);
      assert.equal((await scaler.shouldScaleFromZero(signal)).kind, "Unknown");
      if (reason !== "NoData") assert.notEqual((await scaler.isHealthy(signal)).kind, "Healthy");
    });
  }

  it("does not follow redirects", async () => {
    stub.answer = (_query, response) => response.writeHead(307, { location: `${stub.url}/elsewhere` }).end();
    assert.equal((await scalerOf().shouldScaleToZero(signal)).reason, "PrometheusRedirects");
    assert.equal(stub.asked.length, 1);
  });

  it("calls no answer within the timeout Unknown, before the head and in the body", async () => {
    for (const begin of [() => {}, (response: ServerResponse) => void response.writeHead(200).write("{")]) {
      const arrived = Promise.withResolvers<void>();
      stub.answer = (_query, response) => {
        begin(response);
        arrived.resolve();
      };
      const verdict = scalerOf({ timeoutMs: 7_000 }).shouldScaleToZero(signal);
      await arrived.promise;
      await clock.advance(7_000);
      assert.equal((await verdict).reason, "PrometheusTimeout");
      await clock.advance(60_000);
    }
  });

  it("calls a server that is not there Unknown", async () => {
    const scaler = scalerOf();
    await stub.close();
    const verdict = await scaler.shouldScaleToZero(signal);
    assert.deepEqual([verdict.kind, verdict.reason], ["Unknown", "PrometheusUnreachable"]);
  });

  it("reaches no address that is protected, by number or by name, unless it is listed", async () => {
    await renewClient({ policy: new ServerPolicy(["*"]) });
    const { port } = new URL(stub.url);
    for (const host of ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"]) {
      const verdict = await scalerOf({ server: `http://${host}:${port}` }).shouldScaleToZero(signal);
      assert.deepEqual([host, verdict.reason], [host, "ServerNotAllowed"]);
    }
    assert.equal(stub.asked.length, 0);
    await renewClient({ policy: new ServerPolicy(["prometheus.monitoring", stub.url]) });
    assert.equal((await scalerOf().shouldScaleToZero(signal)).kind, "Active");
    const other = scalerOf({ server: "http://10.0.0.1:9090" });
    assert.equal((await other.shouldScaleToZero(signal)).reason, "ServerNotAllowed");
  });

  describe("health", () => {
    it("asks for the uptime over the cooldown, at least 15 s, with an explicit step", async () => {
      assert.equal(
        healthQuery('container="prometheus"', 15),
        'min_over_time((max(up{container="prometheus"}) or vector(0))[15s:1s]) == 1',
      );
      await scalerOf({}, 0).isHealthy(signal);
      await scalerOf({ uptimeFilter: 'job="p"' }, 900_000).isHealthy(signal);
      await scalerOf({}, 604_800_000).isHealthy(signal);
      const queries = stub.asked.map(({ query }) => query.match(/\[(.*)\]/)?.[1]);
      assert.deepEqual(queries, ["15s:1s", "900s:15s", "604800s:60s"]);
      assert.match(stub.asked[1]?.query ?? "", /up\{job="p"\}/);
    });

    const outcomes: [string, boolean, string | undefined, string, string][] = [
      ["up throughout", true, "1", "Healthy", "Up"],
      ["not up throughout", false, "3", "Unhealthy", "NotUpThroughout"],
      ["no series for a given filter", false, undefined, "NoSeries", "UptimeFilterMatchesNothing"],
    ];
    for (const [name, up, series, kind, reason] of outcomes) {
      it(`is ${kind} when ${name}`, async () => {
        stub.answer = (query, response) => {
          if (query.startsWith("min_over_time")) reply(response, up ? vector("1") : vector());
          else reply(response, series === undefined ? vector() : vector(series));
        };
        const health = await scalerOf({ uptimeFilterIsDefault: false }).isHealthy(signal);
        assert.deepEqual([health.kind, health.reason], [kind, reason]);
      });
    }

    it("is Healthy, and says so, when only the default filter matches nothing", async () => {
      stub.answer = (_query, response) => reply(response, vector());
      const health = await scalerOf().isHealthy(signal);
      assert.deepEqual([health.kind, health.reason], ["Healthy", "DefaultUptimeFilterMatchesNothing"]);
      assert.match(health.message, /set uptimeFilter/);
    });
  });

  describe("QueryClient", () => {
    it("asks the same query once per round for everyone, and anew for other headers, queries and later rounds", async () => {
      await Promise.all(Array.from({ length: 50 }, () => scalerOf().shouldScaleToZero(signal)));
      assert.equal(stub.asked.length, 1);
      await scalerOf({ headers: { "x-scope-orgid": "a" } }).shouldScaleToZero(signal);
      await scalerOf({ query: "other" }).shouldScaleToZero(signal);
      assert.equal(stub.asked.length, 3);
      await clock.advance(1_999);
      await scalerOf().shouldScaleToZero(signal);
      assert.equal(stub.asked.length, 3);
      await clock.advance(1);
      await scalerOf().shouldScaleToZero(signal);
      assert.equal(stub.asked.length, 4);
    });

    it("does not count a query under way that left before the moment asked for", async () => {
      const answers: ServerResponse[] = [];
      const arrived = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      stub.answer = (_query, response) => {
        answers.push(response);
        arrived[answers.length - 1]?.resolve();
      };
      const early = scalerOf().shouldScaleToZero(signal);
      await arrived[0]?.promise;
      await clock.advance(10);
      const late = scalerOf().shouldScaleToZero(signal, { notBeforeMs: clock.now() });
      await arrived[1]?.promise;
      reply(answers[0]!, vector("0"));
      reply(answers[1]!, vector("1"));
      assert.equal((await early).kind, "Idle");
      assert.equal((await late).kind, "Active");
    });

    it("bounds what it asks one server at once, and a slow server delays no other", async () => {
      const other = new PrometheusStub();
      await other.listen();
      const waiting: ServerResponse[] = [];
      const full = Promise.withResolvers<void>();
      stub.answer = (_query, response) => {
        waiting.push(response);
        if (waiting.length === 4) full.resolve();
      };
      const slow = Array.from({ length: 20 }, (_, i) => scalerOf({ query: `q${i}` }).shouldScaleToZero(signal));
      await full.promise;
      const quick = new PrometheusScaler(trigger(other.url), client, 0);
      assert.equal((await quick.shouldScaleToZero(signal)).kind, "Active");
      assert.equal(stub.asked.length, 4);
      stub.answer = (_query, response) => reply(response, vector("0"));
      for (const response of waiting) reply(response, vector("0"));
      assert.ok((await Promise.all(slow)).every(({ kind }) => kind === "Idle"));
      assert.equal(stub.mostRunning, 4);
      await other.close();
    });

    it("bounds what it remembers", async () => {
      await renewClient({ maxEntries: 3 });
      const verdicts = await Promise.all(
        Array.from({ length: 5 }, (_, i) => scalerOf({ query: `q${i}` }).shouldScaleToZero(signal)),
      );
      assert.deepEqual(
        verdicts.map(({ reason }) => reason === "TooManyQueries"),
        [false, false, false, true, true],
      );
      await clock.advance(5_000);
      assert.equal((await scalerOf({ query: "q9" }).shouldScaleToZero(signal)).kind, "Active");
    });

    it("lets one caller leave while another waits on", async () => {
      const arrived = Promise.withResolvers<ServerResponse>();
      stub.answer = (_query, response) => arrived.resolve(response);
      const leaver = new AbortController();
      const left = assert.rejects(scalerOf().shouldScaleToZero(leaver.signal), /gone/);
      const stays = scalerOf().shouldScaleToZero(signal);
      const response = await arrived.promise;
      leaver.abort(new Error("gone"));
      await left;
      reply(response, vector("0"));
      assert.equal((await stays).kind, "Idle");
    });

    it("closes while queries are under way and waiting", async () => {
      const arrived = Promise.withResolvers<void>();
      stub.answer = () => arrived.resolve();
      const all = Array.from({ length: 10 }, (_, i) => scalerOf({ query: `q${i}` }).shouldScaleToZero(signal));
      const settled = Promise.allSettled(all);
      await arrived.promise;
      await client.close();
      for (const result of await settled) {
        assert.equal(result.status, "rejected");
        assert.equal((result as PromiseRejectedResult).reason.code, "ELASTI_SCALE_CLOSED");
      }
    });

    it("counts queries by their result", async () => {
      const metrics = new Metrics({ clock });
      await renewClient({ metrics: triggerQueryMetrics(metrics) });
      await scalerOf().shouldScaleToZero(signal);
      stub.answer = (_query, response) => reply(response, "x", 500);
      await scalerOf({ query: "bad" }).shouldScaleToZero(signal);
      const text = await metrics.render();
      assert.match(text, /elasti_trigger_queries_total\{result="value"\} 1/);
      assert.match(text, /elasti_trigger_queries_total\{result="PrometheusStatus"\} 1/);
    });
  });

  it("spreads services evenly over the interval, each always at its moment", () => {
    const quarters = [0, 0, 0, 0];
    for (let i = 0; i < 4_000; i++) {
      const offset = spreadOffsetMs(`default/web-${i}`, 30_000);
      assert.equal(offset, spreadOffsetMs(`default/web-${i}`, 30_000));
      assert.ok(offset >= 0 && offset < 30_000);
      quarters[Math.floor(offset / 7_500)]! += 1;
    }
    for (const count of quarters) assert.ok(count > 850 && count < 1_150, `${quarters}`);
  });
});
