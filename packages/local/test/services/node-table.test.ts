import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { NodeTable } from "../../src/services/node-table.ts";
import { routesOf } from "../../src/services/routes.ts";
import { service, slice } from "./fixtures.ts";

const routes = (...ips: string[]) => routesOf(service("web", "10.0.0.1"), [slice("web", ips)]);
const known = (table: NodeTable) => table.backendsOfService("default/web").map(({ ip }) => ip);

test("applies at once without a delay, and late with one", async () => {
  const clock = new ManualClock();
  const table = new NodeTable("node-1", clock, () => {});
  table.change("default/web", routes("10.1.0.1"));
  assert.deepEqual(known(table), ["10.1.0.1"]);
  table.delay = 300;
  table.change("default/web", routes("10.1.0.2"));
  await clock.advance(299);
  assert.deepEqual(known(table), ["10.1.0.1"]);
  await clock.advance(1);
  assert.deepEqual(known(table), ["10.1.0.2"]);
  assert.equal(clock.pendingTimers, 0);
});

test("keeps the order of changes when a later one has the smaller delay", async () => {
  const clock = new ManualClock();
  const seen: string[][] = [];
  const table = new NodeTable("node-1", clock, () => seen.push(known(table)));
  const delays = [1_000, 10, 0];
  table.delay = () => delays.shift()!;
  table.change("default/web", routes("10.1.0.1"));
  table.change("default/web", routes("10.1.0.2"));
  table.change("default/web", []);
  await clock.advance(999);
  assert.deepEqual(seen, []);
  assert.equal(table.pending, 3);
  await clock.advance(1);
  assert.deepEqual(seen, [["10.1.0.1"], ["10.1.0.2"], []]);
});

test("a Service whose change takes long does not keep another one waiting", async () => {
  const clock = new ManualClock();
  const seen: string[] = [];
  const table = new NodeTable("node-1", clock, (name) => seen.push(`${name} at ${clock.monotonic() - start}`));
  const start = clock.monotonic();
  const delays = [1_000, 10, 500, 0];
  table.delay = () => delays.shift()!;
  for (const name of ["a", "b", "a", "c"]) table.change(`default/${name}`, routes("10.1.0.1"));
  await clock.advance(2_000);
  assert.deepEqual(seen, ["default/c at 0", "default/b at 10", "default/a at 1000", "default/a at 1000"]);
  assert.equal(clock.pendingTimers, 0);
});

test("names every address that a change touches, also those that go away", () => {
  const touched: (readonly string[])[] = [];
  const table = new NodeTable("node-1", new ManualClock(), (_service, addresses) => touched.push(addresses));
  table.change("default/web", routesOf(service("web", "10.0.0.1", [{ port: 80 }, { port: 81 }]), []));
  table.change("default/web", routes("10.1.0.1"));
  assert.deepEqual(touched, [
    ["10.0.0.1:80", "10.0.0.1:81"],
    ["10.0.0.1:80", "10.0.0.1:81"],
  ]);
});

test("a node uses only its own endpoints for internalTrafficPolicy Local", () => {
  const table = new NodeTable("node-2", new ManualClock(), () => {});
  const web = service("web", "10.0.0.1");
  web.spec.internalTrafficPolicy = "Local";
  const endpoints = [
    { addresses: ["10.1.0.1"], nodeName: "node-1" },
    { addresses: ["10.1.0.2"], nodeName: "node-2" },
  ];
  table.change("default/web", routesOf(web, [slice("web", endpoints)]));
  assert.deepEqual(known(table), ["10.1.0.2"]);
});
