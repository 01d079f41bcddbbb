import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ConfigMap, Store } from "@elasti/kube";
import { OwnWrites } from "../../src/lifecycle/own-writes.ts";

const object = (resourceVersion: string, value: string, uid = "u1"): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { namespace: "default", name: "web", uid, resourceVersion },
  data: { value },
});

function seen(): { store: Store<ConfigMap>; own: OwnWrites<ConfigMap>; value: () => string | undefined } {
  const store = new Store<ConfigMap>();
  const own = new OwnWrites(store);
  return { store, own, value: () => own.get("default", "web")?.data?.value };
}

describe("own writes over a store", () => {
  it("shows a write before the watch does", () => {
    const { store, own, value } = seen();
    store.upsert(object("9", "old"));
    own.wrote(object("10", "written"));
    assert.equal(value(), "written");
  });

  it("shows what is newer than the write", () => {
    const { store, own, value } = seen();
    own.wrote(object("10", "written"));
    store.upsert(object("11", "newer"));
    assert.equal(value(), "newer");
  });

  it("does not go back to what the watch brings late", () => {
    const { store, own, value } = seen();
    own.wrote(object("10", "written"));
    store.upsert(object("9", "late"));
    assert.equal(value(), "written");
    store.upsert(object("10", "written"));
    assert.equal(value(), "written");
  });

  it("ignores the answer to a write that the watch has overtaken", () => {
    const { store, own, value } = seen();
    store.upsert(object("12", "newer"));
    own.wrote(object("10", "written"));
    assert.equal(value(), "newer");
  });

  it("hides what was deleted until the watch has seen it, but not its successor", () => {
    const { store, own, value } = seen();
    store.upsert(object("9", "old"));
    own.removed(object("9", "old"));
    assert.equal(value(), undefined);
    store.upsert(object("13", "successor", "u2"));
    assert.equal(value(), "successor");
  });

  it("forgets a write when the object is deleted by others", () => {
    const { store, own, value } = seen();
    store.upsert(object("9", "old"));
    own.wrote(object("10", "written"));
    store.remove(object("11", "gone"));
    assert.equal(value(), undefined);
  });
});
