import assert from "node:assert/strict";
import { it } from "node:test";
import type { KubeObject } from "@elasti/kube";
import { managerOf } from "../../src/lifecycle/field-managers.ts";

type Entries = NonNullable<KubeObject["metadata"]["managedFields"]>;
const owned = (field: string): unknown => ({ "f:spec": { [`f:${field}`]: {} } });
const object = (managedFields: Entries): KubeObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", managedFields },
});

const early = "2026-01-01T12:00:00Z";
const late = "2026-01-01T12:00:01Z";
const cases: [string, Entries, "replicas" | "selector", string | undefined][] = [
  ["nobody where nobody is recorded", [], "replicas", undefined],
  ["the one who owns the field", [{ manager: "flux", time: early, fieldsV1: owned("replicas") }], "replicas", "flux"],
  [
    "nobody who owns another field",
    [{ manager: "flux", time: late, fieldsV1: owned("template") }],
    "replicas",
    undefined,
  ],
  [
    "the last of several",
    [
      { manager: "b", time: late, fieldsV1: owned("selector") },
      { manager: "a", time: early, fieldsV1: owned("selector") },
    ],
    "selector",
    "b",
  ],
  [
    "whoever wrote through /scale, where no time is recorded",
    [{ manager: "kubectl", operation: "Update", subresource: "scale", fieldsV1: owned("replicas") }],
    "replicas",
    "kubectl",
  ],
  [
    "nobody of ours",
    ["elasti-operator", "elasti", "elasti-epoch-4", "elasti-fence-9-4"].map((manager) => ({
      manager,
      time: late,
      fieldsV1: owned("replicas"),
    })),
    "replicas",
    undefined,
  ],
  [
    "nothing of what is malformed",
    [{ manager: "a", fieldsV1: "x" }, { fieldsV1: owned("replicas") }],
    "replicas",
    undefined,
  ],
];
for (const [name, entries, field, expected] of cases) {
  it(`names ${name}`, () => assert.equal(managerOf(object(entries), field), expected));
}
