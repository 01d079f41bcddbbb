import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Metrics, silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { EventRecorder, type EventRecorderOptions, type KubeClient, type KubeEvent } from "../src/index.ts";
import { answer, ScriptedServer, status } from "./scripted-server.ts";

let server: ScriptedServer;
let client: KubeClient;
let clock: ManualClock;
let metrics: Metrics;
let recorder: EventRecorder;

beforeEach(async () => {
  server = await new ScriptedServer().start();
  server.script = (asked, response) => answer(response, 201, asked.method === "POST" ? asked.body : { metadata: {} });
  clock = new ManualClock();
  client = server.client({ clock });
  metrics = new Metrics({ clock });
});

afterEach(async () => {
  await recorder.close();
  await client.close();
  await server.close();
  assert.equal(clock.pendingTimers, 0);
});

function record(options: Partial<EventRecorderOptions> = {}): EventRecorder {
  const common = { client, clock, logger: silentLogger, metrics, component: "elasti-operator", instance: "pod-1" };
  recorder = new EventRecorder({ ...common, ...options });
  return recorder;
}

const subject = {
  apiVersion: "elasti.truefoundry.com/v1alpha1",
  kind: "ElastiService",
  metadata: { name: "web", namespace: "default", uid: "u-1", resourceVersion: "5" },
};

async function dropped(reason: string): Promise<number> {
  const text = await metrics.registry.metrics();
  return Number(new RegExp(`elasti_kube_events_dropped_total{reason="${reason}"} (\\d+)`).exec(text)?.[1] ?? 0);
}

test("writes an event about the object, with all that names it", async () => {
  const written = server.next();
  record().normal(subject, "SuccessToScale", "scaled to 1");
  const { url, body } = await written;
  assert.equal(url.pathname, "/api/v1/namespaces/default/events");
  const event = body as KubeEvent;
  assert.match(event.metadata.name, /^web\.[0-9a-f]+$/);
  assert.deepEqual(event.involvedObject, {
    apiVersion: subject.apiVersion,
    kind: "ElastiService",
    name: "web",
    namespace: "default",
    uid: "u-1",
    resourceVersion: "5",
  });
  assert.deepEqual(
    [event.type, event.reason, event.message, event.count, event.firstTimestamp, event.source],
    [
      "Normal",
      "SuccessToScale",
      "scaled to 1",
      1,
      "2026-01-01T00:00:00Z",
      { component: "elasti-operator", host: "pod-1" },
    ],
  );
});

test("the same event again raises the count; a forgotten one is written anew", async () => {
  let next = server.next();
  record().warning(subject, "FailedToScale", "quota");
  recorder.warning(subject, "FailedToScale", "quota");
  const created = (await next).body as KubeEvent;
  assert.equal(created.count, 2);
  await clock.advance(5_000);
  next = server.next();
  recorder.warning(subject, "FailedToScale", "quota");
  const patched = await next;
  assert.equal(patched.method, "PATCH");
  assert.ok(patched.url.pathname.endsWith(created.metadata.name));
  assert.deepEqual(patched.body, { count: 3, lastTimestamp: "2026-01-01T00:00:05Z" });

  server.script = (asked, response) =>
    asked.method === "POST"
      ? answer(response, 201, asked.body)
      : answer(response, 404, status(404, "NotFound", "expired"));
  next = server.next(({ method }) => method === "POST");
  recorder.warning(subject, "FailedToScale", "quota");
  assert.equal(((await next).body as KubeEvent).count, 1);
});

test("bounds the rate per object, so that one noisy object takes nothing from another", async () => {
  record({ burst: 3, perMinute: 1 });
  for (let i = 0; i < 10; i++) recorder.normal(subject, "Noise", `message ${i}`);
  recorder.normal({ ...subject, metadata: { name: "api", namespace: "default" } }, "Quiet", "one");
  await recorder.close();
  assert.equal(server.asked.length, 4);
  assert.equal(await dropped("rate"), 7);
});

test("bounds what waits, and never throws where the API server does not answer", async () => {
  server.script = () => {};
  record({ maxQueued: 5, burst: 100 });
  const arrived = server.next();
  for (let i = 0; i < 20; i++) recorder.normal(subject, "Many", `message ${i}`);
  assert.equal(await dropped("queue"), 15);
  await arrived;
  const closed = recorder.close({ deadlineMs: 2_000 });
  await clock.advance(2_000);
  await closed;
  recorder.normal(subject, "Late", "after close");
  assert.equal(server.asked.length, 1);
});

test("an event that is refused is counted and the next one is written", async () => {
  server.script = (asked, response) =>
    server.asked.length === 1
      ? answer(response, 403, status(403, "Forbidden", "no"))
      : answer(response, 201, asked.body);
  record();
  recorder.normal(subject, "First", "x");
  recorder.normal(subject, "Second", "y");
  await recorder.close();
  assert.equal(server.asked.length, 2);
  assert.equal(await dropped("failed"), 1);
});
