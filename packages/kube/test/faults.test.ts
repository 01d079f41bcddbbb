import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import {
  FaultInjector,
  isOutcomeUnknown,
  isTimeout,
  type KubeClient,
  Reflector,
  resources,
  ScaleClient,
} from "../src/index.ts";
import { answer, configMap, isWatch, line, listOf, openWatch, ScriptedServer } from "./scripted-server.ts";

let server: ScriptedServer;
let client: KubeClient;
let clock: ManualClock;
let faults: FaultInjector;
const { configMaps, deployments } = resources;

beforeEach(async () => {
  server = await new ScriptedServer().start();
  server.script = (_asked, response) => answer(response, 200, configMap("a", "1"));
  clock = new ManualClock();
  faults = new FaultInjector({ clock });
  client = server.client({ clock, transport: faults.transport });
});

afterEach(async () => {
  await client.close();
  await server.close();
});

const get = () => client.get(configMaps, "default", "a");
const patch = () => client.patch(configMaps, "default", "a", "merge", {});

test("fails the requests that fit, so many times, without sending them", async () => {
  const rule = faults.fail({ verb: "get", resource: configMaps, namespace: "default", name: "a" }, 409, {
    reason: "Conflict",
    times: 2,
  });
  await patch();
  await assert.rejects(get(), { code: "ELASTI_KUBE_CONFLICT" });
  await assert.rejects(get(), { code: "ELASTI_KUBE_CONFLICT" });
  await get();
  assert.equal(rule.hits, 2);
  assert.deepEqual(
    server.asked.map(({ method }) => method),
    ["PATCH", "GET"],
  );
});

test("cuts before sending (nothing happened) and after sending (outcome unknown)", async () => {
  faults.cut({ verb: "patch" }, "before-send", { times: 1 });
  await assert.rejects(patch(), (error) => !isOutcomeUnknown(error));
  assert.equal(server.asked.length, 0);
  faults.cut({ verb: "patch" }, "after-send", { times: 1 });
  await assert.rejects(patch(), (error) => isOutcomeUnknown(error));
  assert.equal(server.asked.length, 1);
});

test("delays on the injected clock, and gives up with the caller", async () => {
  faults.delay((request) => request.method === "GET", 3_000, { times: 1 });
  const call = get();
  await clock.advance(2_999);
  assert.equal(server.asked.length, 0);
  await clock.advance(1);
  await call;
  faults.delay({ verb: "get" }, () => 60_000, { times: 1 });
  const late = assert.rejects(get(), (error) => isTimeout(error) && !isOutcomeUnknown(error));
  await clock.advance(10_000);
  await late;
  assert.equal(server.asked.length, 1);
  assert.equal(clock.pendingTimers, 0);
});

test("holds a write, which arrives when it is released, though its sender gave up long ago", async () => {
  const held = faults.hold({ verb: "patch", resource: deployments, subresource: "scale" });
  const target = { resource: deployments, namespace: "default", name: "web" };
  const zero = new ScaleClient(client).setScale({ ...target, replicas: 0, resourceVersion: "7" });
  const refused = assert.rejects(zero, (error) => isTimeout(error) && isOutcomeUnknown(error));
  const { body } = await held.hit;
  assert.deepEqual(body, { metadata: { resourceVersion: "7" }, spec: { replicas: 0 } });
  await clock.advance(10_000);
  await refused;
  await get();
  assert.equal(held.held, 1);
  const arrived = server.next();
  held.release();
  assert.equal((await arrived).method, "PATCH");
  await patch();
});

test("runs a hook before a request leaves or after its answer came", async () => {
  const order: string[] = [];
  faults.onRequest({ verb: "patch" }, () => void order.push(`before ${server.asked.length}`));
  faults.onRequest({ verb: "patch" }, () => void order.push(`after ${server.asked.length}`), { when: "after-answer" });
  await patch();
  assert.deepEqual(order, ["before 0", "after 1"]);
  faults.onRequest({ verb: "patch" }, () => {
    throw new Error("killed here");
  });
  await assert.rejects(patch(), /killed here/);
});

test("drops open watches, which a reflector gets over", async () => {
  server.script = (asked, response) => {
    if (!isWatch(asked)) return answer(response, 200, listOf("1", []));
    openWatch(response);
    response.write(line("ADDED", configMap(`seen-${asked.url.searchParams.get("resourceVersion")}`, "5")));
  };
  const reflector = new Reflector({ client, resource: configMaps, logger: silentLogger, clock });
  await reflector.start();
  const has = (name: string) => reflector.store.until((store) => store.get("default", name));
  await has("seen-1");
  const gone = server.asked.find(isWatch)!.socket;
  const closed = new Promise((resolve) => gone.once("close", resolve));
  assert.equal(faults.dropWatches({ resource: configMaps }), 1);
  await closed;
  while (reflector.store.size < 2) await clock.advance(10);
  await has("seen-5");
  assert.equal(faults.openWatches, 1);
  await reflector.close();
  assert.equal(faults.openWatches, 0);
  assert.equal(clock.pendingTimers, 0);
});

test("all rules that fit act, and clear() ends them", async () => {
  const first = faults.onRequest({}, () => {});
  const second = faults.fail({ kind: "call" }, 500);
  await assert.rejects(get(), { code: "ELASTI_KUBE_UNAVAILABLE" });
  assert.deepEqual([first.hits, second.hits], [1, 1]);
  faults.clear();
  await get();
  assert.deepEqual([first.hits, second.hits], [1, 1]);
});
