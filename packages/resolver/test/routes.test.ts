import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { routeTable } from "./support/route-table.ts";
import { route, webService } from "./support/world.ts";

function make(t: TestContext) {
  let changes = 0;
  const clock = new ManualClock();
  const table = routeTable(clock, {
    onPorts: () => {
      changes += 1;
    },
  });
  t.after(() => {
    table.close();
    assert.equal(clock.pendingTimers, 0);
  });
  return { table, clock, changes: () => changes };
}

/** A table of a resolver that knows what exists. */
function makeOpen(t: TestContext) {
  const made = make(t);
  made.table.open();
  return made;
}

describe("routes", () => {
  test("lead from each resolver port to one port of one Service", (t) => {
    const { table, changes } = makeOpen(t);
    table.upsert(webService({ status: { routes: [route(10_001), { ...route(10_002, 443), name: "https" }] } }));
    assert.equal(table.byPort(10_001)?.portName, "http");
    assert.equal(table.byPort(10_002)?.port, 443);
    assert.equal(table.byPort(10_003), undefined);
    assert.deepEqual([...table.ports], [10_001, 10_002]);
    table.upsert(
      webService({ status: { epoch: 4, routes: [route(10_001), { ...route(10_002, 443), name: "https" }] } }),
    );
    assert.equal(changes(), 1);
    assert.equal(table.service("default", "web")?.state.epoch, 4);
  });

  test("a route object stays the same while its route does", (t) => {
    const { table } = makeOpen(t);
    table.upsert(webService({ status: { routes: [route(10_001)] } }));
    const before = table.byPort(10_001);
    table.upsert(webService({ status: { routes: [route(10_001), route(10_002, 81)] } }));
    assert.equal(table.byPort(10_001), before);
  });

  test("UDP ports have no route", (t) => {
    const { table } = makeOpen(t);
    table.upsert(webService({ status: { routes: [{ ...route(10_001), protocol: "UDP" }] } }));
    assert.equal(table.byPort(10_001), undefined);
  });

  const first = (graceSeconds?: number) =>
    webService({
      name: "one",
      ...(graceSeconds === undefined ? {} : { spec: { routing: { graceSeconds } } }),
      status: { routes: [route(10_001)] },
    });
  const second = webService({ name: "two", status: { routes: [route(10_001)] } });

  test("the first claim on a port stands; the next gets it when nodes have followed the end of the first", async (t) => {
    const { table, clock, changes } = makeOpen(t);
    table.upsert(first());
    table.upsert(second);
    assert.equal(table.byPort(10_001)?.service.name, "one");
    assert.equal(table.duplicates, 1);
    table.remove(first());
    // nobody can answer for it any more, and nobody else is to
    assert.equal(table.byPort(10_001), undefined);
    assert.deepEqual([...table.ports], []);
    await clock.advance(29_999);
    assert.deepEqual([...table.ports], []);
    const before = changes();
    await clock.advance(1);
    assert.equal(table.byPort(10_001)?.service.name, "two");
    assert.equal(table.duplicates, 0);
    assert.equal(changes(), before + 1);
  });

  test("a port that a service gives up for another leads to it for as long as nodes may lag", async (t) => {
    const { table, clock } = makeOpen(t);
    table.upsert(first(5));
    const before = table.byPort(10_001);
    const moved = { ...first(5), status: { routes: [route(10_002)] } };
    table.upsert(moved);
    table.upsert(second);
    assert.deepEqual([...table.ports], [10_001, 10_002]);
    assert.equal(table.byPort(10_001), before);
    await clock.advance(5_000);
    assert.equal(table.byPort(10_001)?.service.name, "two");
    assert.equal(table.byPort(10_002)?.service.name, "one");
  });

  test("a port that is given up and claimed again by the same service never leads elsewhere", async (t) => {
    const { table, clock } = makeOpen(t);
    table.upsert(first(5));
    table.upsert(second);
    table.remove(first(5));
    await clock.advance(4_000);
    table.upsert(first(5));
    assert.equal(table.byPort(10_001)?.service.name, "one");
    await clock.advance(60_000);
    assert.equal(table.byPort(10_001)?.service.name, "one");
    assert.equal(table.duplicates, 1);
  });

  test("a port that leads on for a moment leads nowhere once its service is gone", async (t) => {
    const { table, clock } = makeOpen(t);
    table.upsert(first(5));
    table.upsert({ ...first(5), status: { routes: [] } });
    assert.deepEqual([...table.ports], [10_001]);
    table.remove(first(5));
    assert.deepEqual([...table.ports], []);
    await clock.advance(5_000);
    assert.equal(clock.pendingTimers, 0);
  });

  test("of claims that were there when the process began none is the first", async (t) => {
    const { table, clock } = make(t);
    table.upsert(first(5));
    table.upsert(second);
    table.upsert(webService({ name: "three", status: { routes: [route(10_003)] } }));
    assert.deepEqual([...table.ports], []);
    table.open();
    assert.deepEqual([...table.ports], [10_003]);
    assert.equal(table.duplicates, 2);
    table.upsert({ ...first(5), status: { routes: [route(10_002)] } });
    // clients of the one that left may still be led here, from before this process
    assert.equal(table.byPort(10_001), undefined);
    await clock.advance(5_000);
    assert.equal(table.byPort(10_001)?.service.name, "two");
  });

  test("of two ElastiServices that name one Service the older counts", async (t) => {
    const { table, clock } = makeOpen(t);
    const spec = { service: "web" };
    table.upsert(
      webService({ name: "young", created: "2026-02-01T00:00:00Z", spec, status: { routes: [route(10_002)] } }),
    );
    table.upsert(
      webService({ name: "old", created: "2026-01-01T00:00:00Z", spec, status: { routes: [route(10_001)] } }),
    );
    await clock.advance(30_000);
    assert.deepEqual([...table.ports], [10_001]);
    table.remove(webService({ name: "old", spec }));
    await clock.advance(30_000);
    assert.deepEqual([...table.ports], [10_002]);
    assert.equal(table.size, 1);
  });

  test("follow spec.service when it is edited", async (t) => {
    const { table, clock } = makeOpen(t);
    table.upsert(webService({ status: { routes: [route(10_001)] } }));
    table.upsert(webService({ spec: { service: "api" }, status: { routes: [route(10_001)] } }));
    assert.equal(table.service("default", "web"), undefined);
    // until nodes have followed, clients of web may still come here
    assert.equal(table.byPort(10_001), undefined);
    await clock.advance(30_000);
    assert.equal(table.byPort(10_001)?.service.name, "api");
  });

  test("an ElastiService made anew begins its epochs again", (t) => {
    const { table } = makeOpen(t);
    table.upsert(webService({ uid: "1", status: { phase: "Sealed", epoch: 90 } }));
    assert.equal(table.service("default", "web")?.state.mayForward(), false);
    table.upsert(webService({ uid: "2", status: { phase: "Serving", epoch: 1 } }));
    assert.equal(table.service("default", "web")?.state.mayForward(), true);
  });

  test("by host: the port of the host picks the port of the Service, else the first", (t) => {
    const { table } = makeOpen(t);
    table.upsert(webService({ status: { routes: [route(10_001), { ...route(10_002, 443), name: "https" }] } }));
    assert.equal(table.byHost("web.default:443")?.portName, "https");
    assert.equal(table.byHost("web.default:8012")?.portName, "http");
    assert.equal(table.byHost("web.default.svc.cluster.local")?.portName, "http");
    assert.equal(table.byHost("[::1]:80"), undefined);
    assert.equal(table.byHost(""), undefined);
  });
});
