import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { systemClock } from "@elasti/core";
import { findProgram, MISSING_PROMETHEUS, type PrometheusProcess, startPrometheus } from "@elasti/local";
import { QueryClient, ServerPolicy } from "@elasti/scaling";
import { Catalogue, MetricSources, PrometheusSource } from "../../src/index.ts";

const program = findProgram("prometheus", process.env.PATH);
const skip = program === undefined ? MISSING_PROMETHEUS : false;
const signal = new AbortController().signal;
const target = { namespace: "shop", name: "web" };

if (program === undefined && process.env.CI === "true") {
  it("has the programs that it needs", () => assert.fail(MISSING_PROMETHEUS));
}

describe("metrics by a real Prometheus", { skip }, () => {
  let prometheus: PrometheusProcess;
  let client: QueryClient;
  let sources: MetricSources;
  let queries = 0;

  before(async () => {
    prometheus = await startPrometheus({ program: program! });
    client = new QueryClient({ policy: new ServerPolicy([prometheus.url]), keepMs: 60_000 });
    const instant = client.instant.bind(client);
    client.instant = (...args) => {
      queries += 1;
      return instant(...args);
    };
    sources = new MetricSources({
      clock: systemClock,
      catalogue: Catalogue.parse({
        who: { source: "prometheus", query: `count(label_replace(vector(1), "n", "\${name}", "", "") == 1) + 1` },
      }),
      prometheus: new PrometheusSource({
        client,
        settings: { defaultServer: prometheus.url, defaultAuthorization: "" },
      }),
    });
  });
  after(async () => {
    await sources?.close();
    await client?.close();
    await prometheus?.close();
  });
  const read = (query: string, more: { server_address?: string } = {}) =>
    sources.read({ source: "prometheus", query, ...more }, target, signal);

  it("gives the number of a scalar and of one series", async () => {
    for (const [query, value] of [
      ["scalar(vector(2.5))", 2.5],
      ["vector(-3)", -3],
      ["1e3", 1_000],
    ] as const) {
      const sample = await read(query);
      assert.equal(sample.kind === "value" && sample.value, value, JSON.stringify(sample));
      assert.ok(Math.abs(sample.atMs - Date.now()) < 60_000);
    }
    const named = await sources.read("who", target, signal);
    assert.equal(named.kind === "value" && named.value, 2, JSON.stringify(named));
  });

  it("knows nothing where there is no one number, and says why", async () => {
    for (const [query, reason, message] of [
      ["none_such", "NoData", /matches no series/],
      ["vector(0) / 0", "NotANumber", /NaN/],
      [
        "label_replace(vector(1), 'a', '1', '', '') or label_replace(vector(1), 'a', '2', '', '')",
        "SeveralSeries",
        /2 series/,
      ],
      ["sum(", "QueryRejected", /parse error/],
    ] as const) {
      const sample = await read(query);
      assert.ok(sample.kind === "unknown", JSON.stringify(sample));
      assert.equal(sample.reason, reason);
      assert.match(sample.message, message);
    }
  });

  it("asks only servers that are allowed", async () => {
    const sample = await read("1", { server_address: "http://127.0.0.1:1" });
    assert.equal(sample.kind === "unknown" && sample.reason, "ServerNotAllowed");
    const nonsense = await read("1", { server_address: "ftp://user:hidden@x" });
    assert.ok(nonsense.kind === "unknown" && nonsense.reason === "MetricFailed");
    assert.doesNotMatch(nonsense.message, /hidden/);
  });

  it("says which names the catalogue has, and which sources are not configured", async () => {
    const unknown = await sources.read("nobody", target, signal);
    assert.ok(unknown.kind === "unknown" && unknown.reason === "MetricUnknown");
    assert.match(unknown.message, /expected who$/);
    for (const metric of [
      { source: "resource", resource: "cpu" },
      { source: "sql", query: "select 1", connection: "x" },
      { source: "traffic", signal: "held" },
    ] as const) {
      const sample = await sources.read(metric, target, signal);
      assert.ok(sample.kind === "unknown" && sample.reason === "MetricNotConfigured", JSON.stringify(sample));
    }
    const settings = { defaultServer: "", defaultAuthorization: "" };
    const nowhere = await new PrometheusSource({ client, settings }).read(
      { source: "prometheus", query: "1" },
      0,
      signal,
    );
    assert.equal(nowhere.kind === "unknown" && nowhere.reason, "MetricNotConfigured");
  });

  it("ends with the one who asks", async () => {
    const before = queries;
    await assert.rejects(
      sources.read({ source: "prometheus", query: "1" }, target, AbortSignal.abort(new Error("late"))),
      /late/,
    );
    assert.equal(queries, before);
  });
});
