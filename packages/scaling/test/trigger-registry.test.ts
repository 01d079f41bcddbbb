import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { ElastiServiceSpec } from "@elasti/api";
import { type ElastiError, readConfig } from "@elasti/core";
import { createScaler, prometheusSettings, QueryClient, ServerPolicy, type TrafficSource } from "../src/index.ts";
import { readPrometheusMetadata } from "../src/scalers/prometheus-metadata.ts";

const noDefaults = { defaultServer: "", defaultAuthorization: "" };
const good = { serverAddress: "http://prometheus.monitoring:9090", query: "sum(x)", threshold: "0.5" };
const read = (metadata: unknown, settings = noDefaults) =>
  readPrometheusMetadata(metadata, "triggers[0].metadata", settings);

function understood(metadata: unknown, settings = noDefaults) {
  const trigger = read(metadata, settings);
  assert.ok("query" in trigger, JSON.stringify(trigger));
  return trigger;
}

describe("metadata of a Prometheus trigger", () => {
  it("is understood as KubeElasti's manifests write it", () => {
    const trigger = understood({ ...good, uptimeFilter: 'job="prometheus"' });
    assert.deepEqual(trigger, {
      server: "http://prometheus.monitoring:9090",
      query: "sum(x)",
      threshold: 0.5,
      uptimeFilter: 'job="prometheus"',
      uptimeFilterIsDefault: false,
      headers: {},
      timeoutMs: 30_000,
    });
  });

  it("may give threshold and timeout as numbers, and leaves out what has a default", () => {
    const trigger = understood({ ...good, threshold: 2, timeoutSeconds: 5, serverAddress: "http://p:1/prefix/" });
    assert.deepEqual(
      [trigger.threshold, trigger.timeoutMs, trigger.server, trigger.uptimeFilter, trigger.uptimeFilterIsDefault],
      [2, 5_000, "http://p:1/prefix", 'container="prometheus"', true],
    );
  });

  it("sends the default authorization to the default server alone, and lets headers override it", () => {
    const settings = { defaultServer: "http://prometheus.monitoring:9090/", defaultAuthorization: "Bearer operator" };
    const { serverAddress, ...unnamed } = good;
    assert.equal(understood(unnamed, settings).server, serverAddress);
    assert.deepEqual(understood(unnamed, settings).headers, { authorization: "Bearer operator" });
    assert.deepEqual(understood(good, settings).headers, { authorization: "Bearer operator" });
    assert.deepEqual(understood({ ...good, serverAddress: "http://elsewhere:9090" }, settings).headers, {});
    assert.deepEqual(understood({ ...good, serverAddress: "http://prometheus.monitoring:9091" }, settings).headers, {});
    const own = { ...good, headers: { Authorization: "Bearer mine", "X-Scope-OrgID": "a" } };
    assert.deepEqual(understood(own, settings).headers, { authorization: "Bearer mine", "x-scope-orgid": "a" });
  });

  it("turns a user in the address into a header", () => {
    const trigger = understood({ ...good, serverAddress: "http://me:se%20cret@p:9090" });
    assert.equal(trigger.server, "http://p:9090");
    assert.equal(trigger.headers.authorization, `Basic ${Buffer.from("me:se cret").toString("base64")}`);
  });

  const rows: [string, unknown, RegExp][] = [
    ["no object", "query", /^triggers\[0\]\.metadata: expected an object/],
    [
      "a missing threshold",
      { ...good, threshold: undefined },
      /^triggers\[0\]\.metadata\.threshold: expected a number, such as "0\.5"$/,
    ],
    ["a word as threshold", { ...good, threshold: "low" }, /threshold: expected a number, such as "0\.5", got "low"$/],
    ["NaN as threshold", { ...good, threshold: "NaN" }, /threshold: expected a number/],
    ["an empty threshold", { ...good, threshold: "" }, /threshold: expected a number/],
    ["a list as threshold", { ...good, threshold: [1] }, /threshold: expected a number/],
    ["a missing query", { ...good, query: "" }, /query: expected a PromQL query$/],
    ["a number as query", { ...good, query: 1 }, /query: expected a PromQL query, got 1$/],
    ["a query without end", { ...good, query: "x".repeat(20_000) }, /query: expected a query of at most 16384/],
    [
      "userinfo that cannot be read",
      { ...good, serverAddress: "http://me:100%@p:9090" },
      /serverAddress: expected .*user and password[^,]*$/,
    ],
    ["no server at all", { ...good, serverAddress: undefined }, /serverAddress: expected the address .*no default/],
    [
      "a bare host",
      { ...good, serverAddress: "prometheus:9090" },
      /serverAddress: expected the address .*got "prometheus:9090"$/,
    ],
    ["another scheme", { ...good, serverAddress: "file:///etc/passwd" }, /serverAddress: expected/],
    ["an address with a query", { ...good, serverAddress: "http://p/?a=b" }, /serverAddress: expected/],
    [
      "a long timeout",
      { ...good, timeoutSeconds: 301 },
      /timeoutSeconds: expected a number of seconds above 0 and at most 300/,
    ],
    ["no timeout", { ...good, timeoutSeconds: 0 }, /timeoutSeconds: expected/],
    ["a number as uptimeFilter", { ...good, uptimeFilter: 5 }, /uptimeFilter: expected label matchers/],
    ["headers as a text", { ...good, headers: "a: b" }, /headers: expected a map/],
    ["a header that is no name", { ...good, headers: { "a b": "c" } }, /headers\["a b"\]: expected the name/],
    [
      "a header of the connection",
      { ...good, headers: { "Content-Length": "5" } },
      /headers\["Content-Length"\]: expected/,
    ],
    [
      "a header with a line break",
      { ...good, headers: { a: "secret\r\nb: c" } },
      /headers\.a: expected a text without/,
    ],
    ["a header that is no text", { ...good, headers: { a: 5 } }, /headers\.a: expected a text/],
  ];
  for (const [name, metadata, message] of rows) {
    it(`is refused with ${name}`, () => {
      const problems = read(metadata);
      assert.ok(!("query" in problems));
      const texts = problems.map((one) => `${one.field}: ${one.message}`);
      assert.equal(texts.length, 1, texts.join("; "));
      assert.match(texts[0]!, message);
      assert.doesNotMatch(texts[0]!, /secret/);
    });
  }
});

describe("createScaler", () => {
  const queries = new QueryClient();
  after(() => queries.close());
  const traffic: TrafficSource = { traffic: () => ({ required: [], reports: [] }) };
  const context = { queries, traffic, prometheus: noDefaults };
  const service = { namespace: "default", name: "web" };
  const make = (spec: unknown) => createScaler(service, spec as ElastiServiceSpec, context);

  it("makes one scaler of all triggers, and of the traffic where there is none", async () => {
    await make({ triggers: [{ type: "prometheus", metadata: good }] }).close();
    await make({}).close();
    await make({ triggers: [], routing: { mode: "Always" } }).close();
    await make({ triggers: [{ type: "traffic" }], routing: { mode: "Always" } }).close();
  });

  it("reports every problem of every trigger at once", () => {
    const spec = { triggers: [{ type: "prometheus", metadata: {} }, { type: "cron" }, { type: "__proto__" }, {}] };
    assert.throws(
      () => make(spec),
      (error: ElastiError) => {
        assert.equal(error.code, "ELASTI_TRIGGER_INVALID");
        assert.deepEqual(
          (error.details.errors as { field: string }[]).map(({ field }) => field),
          [
            "triggers[0].metadata.serverAddress",
            "triggers[0].metadata.query",
            "triggers[0].metadata.threshold",
            "triggers[1].type",
            "triggers[2].type",
            "triggers[3].type",
          ],
        );
        assert.match(error.message, /triggers\[1\]\.type: expected one of prometheus, traffic, got "cron"/);
        return true;
      },
    );
  });

  it("refuses to count traffic where the resolvers do not see all of it", () => {
    const message = /spec\.routing\.mode Always, got SelectorSwap/;
    const routing = { mode: "SelectorSwap" } as const;
    assert.throws(() => make({ routing, triggers: [{ type: "traffic" }] }), {
      code: "ELASTI_TRIGGER_INVALID",
      message,
    });
    assert.throws(() => make({ routing }), { code: "ELASTI_TRIGGER_INVALID", message });
    assert.doesNotThrow(() => make({ triggers: [{ type: "traffic" }] }));
  });
});

describe("settings of Prometheus triggers", () => {
  it("understand KubeElasti's names, and have defaults", () => {
    assert.deepEqual(readConfig(prometheusSettings, {}), {
      defaultServer: "",
      defaultAuthorization: "",
      allowedServers: ["*"],
    });
    assert.throws(() => readConfig(prometheusSettings, { PROMETHEUS_TRIGGER_SERVER_ADDRESS: "prometheus" }), {
      message: /PROMETHEUS_TRIGGER_SERVER_ADDRESS .* expected an address such as/,
    });
  });
});

describe("ServerPolicy", () => {
  const judge = (entries: string[], url: string) => new ServerPolicy(entries).judge(new URL(url));

  it("names hosts, hosts with ports and suffixes", () => {
    const entries = ["prometheus.monitoring", "10.0.0.1:9090", "*.svc.cluster.local", "https://mimir:8080/prometheus"];
    assert.equal(judge(entries, "http://prometheus.monitoring:1234"), "named");
    assert.equal(judge(entries, "http://PROMETHEUS.monitoring"), "named");
    assert.equal(judge(entries, "http://10.0.0.1:9090/x"), "named");
    assert.equal(judge(entries, "http://10.0.0.1:9091"), "refused");
    assert.equal(judge(entries, "http://a.b.svc.cluster.local:9090"), "named");
    assert.equal(judge(entries, "http://svc.cluster.local.evil.com"), "refused");
    assert.equal(judge(entries, "https://mimir:8080"), "named");
    assert.equal(judge(entries, "https://mimir"), "refused");
  });

  it("takes * for any host but protected addresses", () => {
    assert.equal(judge(["*"], "http://anything:9090"), "guarded");
    assert.equal(judge(["*"], "http://10.1.2.3:9090"), "guarded");
    for (const host of ["127.0.0.1", "2130706433", "169.254.169.254", "[fe80::1]", "[::]", "[fd00:ec2::254]"]) {
      assert.equal(judge(["*"], `http://${host}`), "refused", host);
    }
    assert.equal(judge(["*", "127.0.0.1"], "http://127.0.0.1:9090"), "named");
    assert.equal(judge([], "http://anything"), "refused");
  });
});
