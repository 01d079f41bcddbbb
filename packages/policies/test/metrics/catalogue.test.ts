import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ElastiError } from "@elasti/core";
import { Catalogue } from "../../src/index.ts";

const target = { namespace: "shop", name: "check.out" };

function problems(configured: unknown): { field: string; message: string }[] {
  try {
    Catalogue.parse(configured);
  } catch (error) {
    const { code, details } = error as ElastiError;
    assert.equal(code, "ELASTI_POLICY_SETTINGS");
    return details.errors as { field: string; message: string }[];
  }
  return [];
}

describe("the catalogue of metrics", () => {
  it("puts the target into PromQL, as a text or as a pattern that fits nothing else", () => {
    const catalogue = Catalogue.parse({
      rate: { source: "prometheus", query: `sum(rate(x{namespace="\${namespace}", service='\${name}'}[2m]))` },
      pods: { source: "prometheus", query: `count(up{pod=~"\${name}-.*", x!~'a\\'b\${name}', y="\${name}"})` },
      fixed: { source: "prometheus", query: "vector(1)", server_address: "http://other:9090" },
    });
    const queryOf = (name: string, of = target) => {
      const metric = catalogue.resolve(name, of);
      return metric?.source === "prometheus" ? metric.query : undefined;
    };
    assert.equal(queryOf("rate"), `sum(rate(x{namespace="shop", service='check.out'}[2m]))`);
    assert.equal(queryOf("pods"), String.raw`count(up{pod=~"check\\.out-.*", x!~'a\'bcheck\\.out', y="check.out"})`);
    assert.equal(queryOf("fixed"), "vector(1)");
    const nasty = { namespace: 'a"} or vector(1) #', name: "b\\\n'" };
    assert.equal(
      queryOf("rate", nasty),
      String.raw`sum(rate(x{namespace="a\"} or vector(1) #", service='b\\\n\''}[2m]))`,
    );
  });

  it("passes the target to SQL as values", () => {
    const catalogue = Catalogue.parse({
      jobs: {
        source: "sql",
        connection: "queue",
        query: `select count(*) from jobs where app = \${name} and ns = \${namespace} and was <> \${name} and note <> 'it''s'`,
      },
    });
    assert.deepEqual(catalogue.resolve("jobs", target), {
      source: "sql",
      connection: "queue",
      query: "select count(*) from jobs where app = $1 and ns = $2 and was <> $1 and note <> 'it''s'",
      parameters: ["check.out", "shop"],
    });
  });

  it("leaves alone what is said in full", () => {
    const catalogue = Catalogue.parse({ cpu: { source: "resource", resource: "cpu" } });
    const full = { source: "prometheus", query: `x{a="\${name}"}` } as const;
    assert.deepEqual(catalogue.resolve(full, target), full);
    assert.deepEqual(catalogue.resolve("cpu", target), { source: "resource", resource: "cpu" });
    assert.equal(catalogue.resolve("__proto__", target), undefined);
  });

  it("tells every problem at once, with its field", () => {
    const found = problems({
      "-": { source: "traffic", signal: "held" },
      a: { source: "csv" },
      b: { source: "prometheus" },
      c: { source: "prometheus", query: `queue_\${name}`, more: 1 },
      d: { source: "prometheus", query: `queue_\${name}{a="\${other}", b=\`\${name}\`}` },
      e: { source: "sql", query: `delete from x where a = '\${name}'`, connection: "q" },
      f: "up",
      g: { source: "resource", resource: "disk" },
    });
    assert.deepEqual(
      found.map(({ field }) => field.replace("ELASTI_SCALING_METRICS", "")),
      [
        ".-",
        ".a.source",
        ".b.query",
        ".c.more",
        ".d.query",
        ".d.query",
        ".d.query",
        ".e.query",
        ".e.query",
        ".f",
        ".g.resource",
      ],
    );
    assert.match(found[0]!.message, /is no name/);
    assert.match(found[1]!.message, /one of prometheus, resource, sql, traffic/);
    assert.match(found[4]!.message, /outside of a quoted text/);
    assert.match(found[5]!.message, /knows no \$\{other\}/);
    assert.match(found[7]!.message, /one SELECT/);
    assert.match(found[8]!.message, /passed as a value/);
    assert.deepEqual(problems([]), [
      { field: "ELASTI_SCALING_METRICS", message: "must be an object: metrics by their names" },
    ]);
    const many = Object.fromEntries(
      Array.from({ length: 1_001 }, (_, n) => [`m${n}`, { source: "traffic", signal: "held" }]),
    );
    assert.match(problems(many)[0]!.message, /1001 metrics: expected at most 1000/);
  });

  it("lists what it knows to who names another", () => {
    const catalogue = Catalogue.parse({
      b: { source: "traffic", signal: "held" },
      a: { source: "traffic", signal: "held" },
    });
    assert.deepEqual(catalogue.names, ["a", "b"]);
    assert.equal(catalogue.has("c"), false);
    assert.equal(catalogue.unknown("c"), 'metric "c" is not in the catalogue: expected a, b');
    assert.equal(Catalogue.parse().unknown("c"), 'metric "c" is not in the catalogue: it is empty');
  });
});
