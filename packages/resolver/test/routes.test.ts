import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { silentLogger, systemClock } from "@elasti/core";
import { HoldBudget } from "../src/gate/hold.ts";
import { RouteTable } from "../src/routes.ts";
import { ManagedService } from "../src/service.ts";
import { FakeActivation, FakePods, route, webService } from "./support/world.ts";

function make(t: TestContext) {
  let changes = 0;
  const table = new RouteTable({
    logger: silentLogger,
    clusterDomain: "cluster.local",
    onPorts: () => {
      changes += 1;
    },
    createService: (namespace, name) =>
      new ManagedService(
        namespace,
        name,
        {
          clock: systemClock,
          logger: silentLogger,
          pick: ([first]) => first,
          budget: new HoldBudget(10),
          activation: new FakeActivation(),
          createPods: () => new FakePods(),
          onHoldEnd: () => {},
        },
        { changed() {}, urgent() {}, idle() {}, silent() {} },
      ),
  });
  t.after(() => table.close());
  return { table, changes: () => changes };
}

describe("routes", () => {
  test("lead from each resolver port to one port of one Service", (t) => {
    const { table, changes } = make(t);
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
    const { table } = make(t);
    table.upsert(webService({ status: { routes: [route(10_001)] } }));
    const before = table.byPort(10_001);
    table.upsert(webService({ status: { routes: [route(10_001), route(10_002, 81)] } }));
    assert.equal(table.byPort(10_001), before);
  });

  test("UDP ports have no route", (t) => {
    const { table } = make(t);
    table.upsert(webService({ status: { routes: [{ ...route(10_001), protocol: "UDP" }] } }));
    assert.equal(table.byPort(10_001), undefined);
  });

  test("the first claim on a port stands until it is given up", (t) => {
    const { table } = make(t);
    table.upsert(webService({ name: "one", status: { routes: [route(10_001)] } }));
    table.upsert(webService({ name: "two", status: { routes: [route(10_001)] } }));
    assert.equal(table.byPort(10_001)?.service.name, "one");
    assert.equal(table.duplicates, 1);
    table.remove(webService({ name: "one" }));
    assert.equal(table.byPort(10_001)?.service.name, "two");
    assert.equal(table.duplicates, 0);
  });

  test("of two ElastiServices that name one Service the older counts", (t) => {
    const { table } = make(t);
    const spec = { service: "web" };
    table.upsert(
      webService({ name: "young", created: "2026-02-01T00:00:00Z", spec, status: { routes: [route(10_002)] } }),
    );
    table.upsert(
      webService({ name: "old", created: "2026-01-01T00:00:00Z", spec, status: { routes: [route(10_001)] } }),
    );
    assert.deepEqual([...table.ports], [10_001]);
    table.remove(webService({ name: "old", spec }));
    assert.deepEqual([...table.ports], [10_002]);
    assert.equal(table.size, 1);
  });

  test("follow spec.service when it is edited", (t) => {
    const { table } = make(t);
    table.upsert(webService({ status: { routes: [route(10_001)] } }));
    table.upsert(webService({ spec: { service: "api" }, status: { routes: [route(10_001)] } }));
    assert.equal(table.service("default", "web"), undefined);
    assert.equal(table.byPort(10_001)?.service.name, "api");
  });

  test("an ElastiService made anew begins its epochs again", (t) => {
    const { table } = make(t);
    table.upsert(webService({ uid: "1", status: { phase: "Sealed", epoch: 90 } }));
    assert.equal(table.service("default", "web")?.state.mayForward(), false);
    table.upsert(webService({ uid: "2", status: { phase: "Serving", epoch: 1 } }));
    assert.equal(table.service("default", "web")?.state.mayForward(), true);
  });

  test("by host: the port of the host picks the port of the Service, else the first", (t) => {
    const { table } = make(t);
    table.upsert(webService({ status: { routes: [route(10_001), { ...route(10_002, 443), name: "https" }] } }));
    assert.equal(table.byHost("web.default:443")?.portName, "https");
    assert.equal(table.byHost("web.default:8012")?.portName, "http");
    assert.equal(table.byHost("web.default.svc.cluster.local")?.portName, "http");
    assert.equal(table.byHost("[::1]:80"), undefined);
    assert.equal(table.byHost(""), undefined);
  });
});
