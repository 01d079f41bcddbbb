import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { findProgram, MISSING_PROMETHEUS, type PrometheusProcess, startPrometheus } from "@elasti/local";
import { PrometheusScaler, type PrometheusTrigger, QueryClient, ServerPolicy } from "../src/index.ts";
import { healthQuery } from "../src/scalers/prometheus-scaler.ts";
import { trigger } from "./prometheus-stub.ts";
import { assertNothingLeft } from "./scaler-contract.ts";

const program = findProgram("prometheus", process.env.PATH);
const skip = program === undefined ? MISSING_PROMETHEUS : false;
const signal = new AbortController().signal;
const INTERVAL_MS = 250;

if (program === undefined && process.env.CI === "true") {
  it("has the programs that it needs", () => assert.fail(MISSING_PROMETHEUS));
}

describe("PrometheusScaler with a real Prometheus", { skip }, () => {
  /** A small exporter; `scraped` follows each scrape. */
  let body = "work 1\n";
  let down = false;
  const exporter = createServer((_request, response) => {
    response.writeHead(down ? 500 : 200, { "content-type": "text/plain; version=0.0.4" });
    response.end(body);
    response.once("close", () => exporter.emit("scraped"));
  });
  let prometheus: PrometheusProcess;
  let client: QueryClient;
  const scalerOf = (query: string, more: Partial<PrometheusTrigger> = {}) =>
    new PrometheusScaler(trigger(prometheus.url, { query, threshold: 1, ...more }), client, 0);
  const scrapes = async (count: number) => {
    for (let i = 0; i < count; i++) await once(exporter, "scraped");
  };
  /** What the exporter shows from now on is stored when the scrape after it begins. */
  const show = async (text: string) => {
    body = text;
    await scrapes(3);
  };

  before(async () => {
    exporter.listen(0, "127.0.0.1");
    await once(exporter, "listening");
    const address = `127.0.0.1:${(exporter.address() as AddressInfo).port}`;
    const scrapeTargets = [{ job: "exporter", addresses: [address] }];
    prometheus = await startPrometheus({ program: program!, scrapeTargets, scrapeIntervalMs: INTERVAL_MS });
    client = new QueryClient({ policy: new ServerPolicy(["127.0.0.1"]), keepMs: 0 });
    await scrapes(2);
  });
  after(async () => {
    await client?.close();
    await prometheus?.close();
    exporter.closeAllConnections();
    exporter.close();
    await assertNothingLeft();
  });

  it("follows the value over the threshold and back", async () => {
    const scaler = scalerOf("sum(work)");
    for (const [value, kind] of [
      [1, "Active"],
      [0.999, "Idle"],
      [7, "Active"],
      [0, "Idle"],
    ] as const) {
      await show(`work ${value}\n`);
      const verdict = await scaler.shouldScaleToZero(signal);
      assert.deepEqual([verdict.kind, verdict.value], [kind, value]);
      assert.equal((await scaler.shouldScaleFromZero(signal)).kind, kind);
    }
  });

  const answers: [string, string, string][] = [
    ["a metric that is not there", "sum(nothing)", "NoData"],
    ["two series", "up", "SeveralSeries"],
    ["a division of zero by zero", "sum(work) * 0 / 0", "NotANumber"],
    ["a division by zero", "(sum(work) * 0 + 1) / 0", "Infinite"],
    ["a range", "work[1m]", "WrongResultType"],
    ["a string", '"text"', "WrongResultType"],
    ["a query that is none", "sum(", "QueryRejected"],
  ];
  for (const [name, query, reason] of answers) {
    it(`calls ${name} Unknown (${reason})`, async () => {
      const verdict = await scalerOf(query).shouldScaleToZero(signal);
      assert.deepEqual([verdict.kind, verdict.reason], ["Unknown", reason], verdict.message);
    });
  }

  it("takes a scalar", async () => {
    assert.equal((await scalerOf("vector(0) * 0").shouldScaleToZero(signal)).kind, "Idle");
    assert.equal((await scalerOf("scalar(vector(3))").shouldScaleToZero(signal)).value, 3);
  });

  it("is not healthy before Prometheus has watched for the whole window", async () => {
    // its own job, container="prometheus", began a few seconds ago
    const health = await scalerOf("1").isHealthy(signal);
    assert.deepEqual([health.kind, health.reason], ["Unhealthy", "NotUpThroughout"], health.message);
  });

  it("tells a filter that fits nothing from a gap", async () => {
    const uptimeFilter = 'container="elsewhere"';
    const given = await scalerOf("1", { uptimeFilter, uptimeFilterIsDefault: false }).isHealthy(signal);
    assert.deepEqual([given.kind, given.reason], ["NoSeries", "UptimeFilterMatchesNothing"]);
    const left = await scalerOf("1", { uptimeFilter, uptimeFilterIsDefault: true }).isHealthy(signal);
    assert.deepEqual([left.kind, left.reason], ["Healthy", "DefaultUptimeFilterMatchesNothing"]);
    const broken = await scalerOf("1", { uptimeFilter: "container=", uptimeFilterIsDefault: false }).isHealthy(signal);
    assert.deepEqual([broken.kind, broken.reason], ["Unhealthy", "QueryRejected"]);
  });

  it("its health query finds an uninterrupted window, and a gap in it", async () => {
    const ask = async () => {
      const query = healthQuery('job="exporter"', 3);
      const server = prometheus.url;
      return (await client.instant({ server, query, headers: {}, timeoutMs: 5_000 }, signal)).answer;
    };
    await scrapes(4_500 / INTERVAL_MS);
    assert.deepEqual(await ask(), { kind: "value", value: 1 });
    down = true;
    await scrapes(1_750 / INTERVAL_MS);
    down = false;
    assert.deepEqual(await ask(), { kind: "empty" });
  });

  it("calls a Prometheus that has ended Unknown and unhealthy", async () => {
    const scaler = scalerOf("sum(work)");
    await prometheus.close();
    assert.equal((await scaler.shouldScaleToZero(signal)).reason, "PrometheusUnreachable");
    assert.equal((await scaler.isHealthy(signal)).kind, "Unhealthy");
  });
});
