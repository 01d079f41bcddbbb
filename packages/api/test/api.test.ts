import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  elastiServiceCrd,
  keyOf,
  parseSessionDown,
  parseSessionUp,
  privateServiceName,
  ROUTES_PER_LINE,
  resolverSliceName,
  SESSION_LINE_BYTES,
  splitKey,
  wantedRoutingMode,
} from "../src/index.ts";

describe("names", () => {
  it("are KubeElasti's", () => {
    assert.equal(privateServiceName("target-deployment"), "elasti-target-deployment-pvt-9696239e87");
    const slice = "elasti-target-deployment-endpointslice-to-resolver-9696239e87";
    assert.equal(resolverSliceName("target-deployment"), slice);
    assert.notEqual(resolverSliceName("target-deployment", "IPv6"), slice);
  });

  it("stay within 63 characters, and apart", () => {
    const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/);
    fc.assert(
      fc.property(label, label, (a, b) => {
        for (const nameOf of [privateServiceName, resolverSliceName]) {
          assert.ok(nameOf(a).length <= 63);
          assert.equal(nameOf(a) === nameOf(b), a === b);
        }
      }),
    );
  });

  it("of objects are taken apart again", () => {
    assert.deepEqual(splitKey(keyOf("default", "web")), { namespace: "default", name: "web" });
  });
});

describe("the routing mode that a spec asks for", () => {
  const prometheus = { type: "prometheus" } as const;
  const traffic = { type: "traffic" } as const;
  for (const [name, spec, mode] of [
    ["no trigger", {}, "Always"],
    ["its traffic", { triggers: [traffic] }, "Always"],
    ["its traffic among others", { triggers: [prometheus, traffic] }, "Always"],
    ["Prometheus", { triggers: [prometheus] }, "SelectorSwap"],
    ["what it says", { triggers: [prometheus], routing: { mode: "EndpointSlice" as const } }, "EndpointSlice"],
  ] as const) {
    it(`is ${mode} with ${name}`, () => {
      const { triggers, routing } = spec as Parameters<typeof wantedRoutingMode>[0];
      assert.equal(
        wantedRoutingMode({ ...(triggers ? { triggers: [...triggers] } : {}), ...(routing ? { routing } : {}) }),
        mode,
      );
    });
  }
});

describe("the CustomResourceDefinition", () => {
  /** Every schema in it, with where it stands. */
  function* schemas(schema: Record<string, unknown>, path = ""): Generator<[string, Record<string, unknown>]> {
    yield [path, schema];
    for (const [name, child] of Object.entries((schema.properties ?? {}) as Record<string, Record<string, unknown>>)) {
      yield* schemas(child, `${path}.${name}`);
    }
    if (schema.items !== undefined) yield* schemas(schema.items as Record<string, unknown>, `${path}[]`);
  }
  const { versions } = elastiServiceCrd().spec as {
    versions: { schema: { openAPIV3Schema: Record<string, unknown> } }[];
  };
  const root = versions[0]!.schema.openAPIV3Schema;

  it("is structural: a type everywhere, and nothing that Kubernetes does not know", () => {
    for (const [path, schema] of schemas(root)) {
      assert.equal(typeof schema.type, "string", path);
      for (const word of ["anyOf", "oneOf", "const", "$ref", "additionalProperties"])
        assert.ok(!(word in schema), `${path} has ${word}`);
    }
  });

  it("requires of KubeElasti's fields no more than KubeElasti did", () => {
    const spec = (root.properties as Record<string, { required?: string[] }>).spec;
    assert.deepEqual([...(spec?.required ?? [])].sort(), ["scaleTargetRef", "service"]);
  });

  it("describes every field of spec and status", () => {
    for (const [path, schema] of schemas(root)) {
      if (/^\.(spec|status)/.test(path) && !path.endsWith("[]") && !/headers\[\]\.|lastWake/.test(path))
        assert.equal(typeof schema.description, "string", path);
    }
  });
});

describe("lines of a session", () => {
  it("are short enough, with as many routes as one may have", () => {
    const longest = "x".repeat(63);
    const route = { resolverPort: 65_535, namespace: longest, service: longest, port: 65_535, name: longest };
    const line = { type: "routes", routes: Array.from({ length: ROUTES_PER_LINE }, () => route) };
    assert.ok(parseSessionUp.Check(line));
    assert.ok(JSON.stringify(line).length < SESSION_LINE_BYTES);
  });

  it("are what they say, or are refused", () => {
    assert.ok(parseSessionUp.Check({ type: "ports", ports: [10_000] }));
    assert.ok(!parseSessionUp.Check({ type: "ports", ports: ["10000"] }));
    assert.ok(!parseSessionUp.Check({ type: "seal" }));
    const served = { resolverPort: 10_000, namespace: "a", service: "b", port: 80 };
    assert.ok(parseSessionUp.Check({ type: "routes", routes: [served, { ...served, name: "http" }] }));
    assert.ok(!parseSessionUp.Check({ type: "routes", routes: [{ ...served, service: "" }] }));
    assert.ok(!parseSessionUp.Check({ type: "routes", routes: [{ ...served, resolverPort: 65_536 }] }));
    assert.ok(parseSessionDown.Check({ type: "seal", namespace: "a", service: "b", epoch: 2, drainEpoch: 1 }));
    assert.ok(!parseSessionDown.Check({ type: "seal", namespace: "a", service: "", epoch: 2, drainEpoch: 1 }));
  });
});
