import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { type Any, type Api, startApi } from "./support.ts";

const events = "/api/v1/namespaces/default/events";
const event = (name: string, fields: object = {}) => ({
  metadata: { name },
  involvedObject: { kind: "Pod", namespace: "default", name: `pod-${name}`, uid: `uid-${name}` },
  reason: "Started",
  ...fields,
});
const names = async (api: Api, query = "") =>
  (await api.get<{ items: Any[] }>(events + query)).body.items.map(({ metadata }) => metadata.name);

test("events are selected by the object they are about", async (t) => {
  const api = await startApi(t);
  for (const name of ["a", "b"]) await api.ok("POST", events, event(name));
  assert.deepEqual(await names(api, "?fieldSelector=involvedObject.name=pod-a,involvedObject.kind=Pod"), ["a"]);
  assert.deepEqual(await names(api, "?fieldSelector=involvedObject.uid=uid-b"), ["b"]);
  assert.deepEqual(await names(api, "?fieldSelector=reason!=Started"), []);
});

test("an event of another namespace's object is refused, times are whole seconds", async (t) => {
  const api = await startApi(t);
  const wrong = await api.send("POST", events, event("a", { involvedObject: { kind: "Pod", namespace: "other" } }));
  assert.equal(wrong.code, 422);
  assert.match(
    wrong.body.message ?? "",
    /involvedObject.namespace: Invalid value: "other": does not match event.namespace/,
  );
  const created = await api.ok("POST", events, event("a", { firstTimestamp: "2026-01-01T00:00:00.123Z" }));
  assert.equal(created.firstTimestamp, "2026-01-01T00:00:00Z");
  const milli = await api.send("POST", events, event("b", { eventTime: "2026-01-01T00:00:00.123Z" }));
  assert.equal(milli.code, 400);
});

test("events go after an hour, and earlier when there are too many", async (t) => {
  const clock = new ManualClock();
  const api = await startApi(t, { clock, maxEvents: 3 });
  for (const name of ["a", "b", "c", "d"]) await api.ok("POST", events, event(name));
  assert.deepEqual(await names(api), ["b", "c", "d"]);
  await clock.advance(3_600_000);
  await api.ok("POST", events, event("e"));
  assert.deepEqual(await names(api), ["e"]);
});
