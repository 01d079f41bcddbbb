import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { API_VERSION, type ElastiService, KIND, SERVICE_NAME_LABEL } from "@elasti/api";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { type ConfigMap, type EndpointSlice, kubeErrors } from "@elasti/kube";
import fc from "fast-check";
import {
  allocatePorts,
  expiredPorts,
  type PortRow,
  quarantineMs,
  releasePorts,
  type WantedPort,
} from "../src/controller/port-allocation.ts";
import { claimsIn } from "../src/controller/port-claims.ts";
import { PortTable } from "../src/controller/port-table.ts";
import { MemoryKube } from "./kit/kube.ts";

const small = { first: 10_000, last: 10_004 };

function apply(rows: Map<number, PortRow>, changes: ReadonlyMap<number, PortRow | null>): void {
  for (const [port, row] of changes) {
    if (row === null) rows.delete(port);
    else rows.set(port, row);
  }
}

describe("allocatePorts", () => {
  it("gives the lowest free ports, and the same again without a change", () => {
    const rows = new Map<number, PortRow>([[10_001, { service: "a/x", name: "", port: 80 }]]);
    const wanted = [
      { name: "http", port: 80 },
      { name: "grpc", port: 90 },
    ];
    const { resolverPorts, changes } = allocatePorts(rows, "a/web", wanted, 0, small);
    assert.deepEqual(resolverPorts, [10_000, 10_002]);
    apply(rows, changes);
    const again = allocatePorts(rows, "a/web", wanted, 1, small);
    assert.deepEqual([again.resolverPorts, again.changes.size], [[10_000, 10_002], 0]);
  });

  it("keeps the port of what keeps its name or its number", () => {
    const rows = new Map<number, PortRow>();
    const first = allocatePorts(
      rows,
      "a/web",
      [
        { name: "http", port: 80 },
        { name: "grpc", port: 90 },
      ],
      0,
      small,
    );
    apply(rows, first.changes);
    const renumbered = allocatePorts(
      rows,
      "a/web",
      [
        { name: "grpc", port: 91 },
        { name: "http", port: 80 },
      ],
      1,
      small,
    );
    assert.deepEqual(renumbered.resolverPorts, [10_001, 10_000]);
    apply(rows, renumbered.changes);
    const renamed = allocatePorts(
      rows,
      "a/web",
      [
        { name: "web", port: 80 },
        { name: "grpc", port: 91 },
      ],
      2,
      small,
    );
    assert.deepEqual(renamed.resolverPorts, [10_000, 10_001]);
    assert.deepEqual(rows.get(10_001), { service: "a/web", name: "grpc", port: 91 });
  });

  it("keeps names with their ports when two swap numbers", () => {
    const rows = new Map<number, PortRow>();
    apply(
      rows,
      allocatePorts(
        rows,
        "a/web",
        [
          { name: "a", port: 1 },
          { name: "b", port: 2 },
        ],
        0,
        small,
      ).changes,
    );
    const swapped = allocatePorts(
      rows,
      "a/web",
      [
        { name: "a", port: 2 },
        { name: "b", port: 1 },
      ],
      0,
      small,
    );
    assert.deepEqual(swapped.resolverPorts, [10_000, 10_001]);
  });

  it("keeps a released port from others for an hour, not from its own service", () => {
    const rows = new Map<number, PortRow>();
    const wanted = [{ name: "http", port: 80 }];
    apply(rows, allocatePorts(rows, "a/web", wanted, 0, small).changes);
    apply(rows, releasePorts(rows, "a/web", 100));
    assert.equal(releasePorts(rows, "a/web", 200).size, 0);
    assert.deepEqual(allocatePorts(rows, "a/other", wanted, 100 + quarantineMs - 1, small).resolverPorts, [10_001]);
    assert.deepEqual(allocatePorts(rows, "a/web", wanted, 100 + quarantineMs - 1, small).resolverPorts, [10_000]);
    assert.deepEqual(allocatePorts(rows, "a/other", wanted, 100 + quarantineMs, small).resolverPorts, [10_000]);
    assert.deepEqual(expiredPorts(rows, 100 + quarantineMs), [10_000]);
  });

  it("says so when no port is free, and changes nothing", () => {
    const rows = new Map<number, PortRow>();
    const many = Array.from({ length: 6 }, (_, i) => ({ name: `p${i}`, port: i + 1 }));
    assert.throws(() => allocatePorts(rows, "a/web", many, 0, small), { code: "ELASTI_PORTS_EXHAUSTED" });
  });

  it("never gives one port to two, never moves what stays, and holds every quarantine", () => {
    const port = fc.record({ name: fc.constantFrom("a", "b", "c", ""), port: fc.integer({ min: 1, max: 4 }) });
    const step = fc.record({
      service: fc.constantFrom("n/a", "n/b", "n/c"),
      wanted: fc.option(fc.uniqueArray(port, { selector: (p) => p.port, maxLength: 3 }), { nil: undefined }),
      pass: fc.integer({ min: 0, max: quarantineMs / 2 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const rows = new Map<number, PortRow>();
        const live = new Map<string, Map<number, WantedPort>>();
        const freedAt = new Map<number, { at: number; by: string }>();
        let now = 0;
        for (const { service, wanted, pass } of steps) {
          now += pass;
          if (wanted !== undefined && new Set(wanted.map((w) => w.name)).size !== wanted.length) continue;
          const before = live.get(service) ?? new Map<number, WantedPort>();
          if (wanted === undefined) {
            apply(rows, releasePorts(rows, service, now));
            for (const p of before.keys()) freedAt.set(p, { at: now, by: service });
            live.delete(service);
            continue;
          }
          const { resolverPorts, changes } = allocatePorts(rows, service, wanted, now, { first: 1, last: 1_000 });
          apply(rows, changes);
          const after = new Map(resolverPorts.map((p, i) => [p, wanted[i]!]));
          assert.equal(after.size, wanted.length);
          for (const [p, want] of after) {
            for (const [other, ports] of live) if (other !== service) assert.ok(!ports.has(p));
            const freed = freedAt.get(p);
            if (freed !== undefined && freed.by !== service) assert.ok(now - freed.at >= quarantineMs);
            const same = [...before].find(([, old]) => old.name === want.name && old.port === want.port);
            if (same !== undefined) assert.equal(p, same[0]);
          }
          for (const p of before.keys()) if (!after.has(p)) freedAt.set(p, { at: now, by: service });
          live.set(service, after);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("PortTable", () => {
  const tableOf = (kube: MemoryKube, clock = new ManualClock()) =>
    new PortTable({ client: kube, clock, logger: silentLogger }, { namespace: "elasti" });
  const http = [{ name: "http", port: 80 }];
  const load = (kube: MemoryKube) => kube.find<ConfigMap>("configmaps", "elasti/elasti-ports-0");

  it("stores what it gives, and writes nothing for what it has", async () => {
    const kube = new MemoryKube();
    const table = tableOf(kube);
    assert.deepEqual(await table.allocate("a/web", http), [10_000]);
    assert.deepEqual(await table.allocate("a/web", http), [10_000]);
    assert.deepEqual(kube.writes, ["create configmaps elasti/elasti-ports-0"]);
    assert.equal(load(kube)?.metadata.labels?.["elasti.truefoundry.com/port-table"], "true");
    assert.deepEqual(await tableOf(kube).allocate("a/web", http), [10_000]);
  });

  const kinds = { apiVersion: API_VERSION, kind: KIND };
  const of = (name: string, created: string, ...resolverPorts: number[]): ElastiService => ({
    ...kinds,
    metadata: { name, namespace: "a", creationTimestamp: created },
    spec: { service: name, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name } },
    status: { routes: resolverPorts.map((resolverPort, at) => ({ port: 80 + at, resolverPort, protocol: "TCP" })) },
  });
  const slice = (service: string, port: number): EndpointSlice => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${service}-x`, namespace: "a", labels: { [SERVICE_NAME_LABEL]: service } },
    addressType: "IPv4",
    endpoints: [],
    ports: [{ port }],
  });
  /** A table that knows nothing of what is in the cluster. */
  const lostTable = (all: readonly ElastiService[], slices: readonly EndpointSlice[] = []) => {
    const claims = claimsIn((resolverPort) => ({
      elastiServices: all.filter(({ status }) => status?.routes?.some((route) => route.resolverPort === resolverPort)),
      slices: slices.filter(({ ports }) => ports?.some(({ port }) => port === resolverPort)),
    }));
    const table = new PortTable(
      { client: new MemoryKube(), clock: new ManualClock(), logger: silentLogger, claims },
      { namespace: "elasti" },
    );
    return (name: string, ...wanted: number[]) =>
      table.allocate(
        `a/${name}`,
        wanted.map((port) => ({ name: "", port })),
        all.find(({ metadata }) => metadata.name === name)?.status?.routes,
      );
  };

  it("gives no port that another service has by its status or by its slice, though the table was lost", async () => {
    const all = [of("old", "1", 10_000, 10_002), of("new", "2")];
    const allocate = lostTable(all, [slice("gone", 10_001), slice("new", 10_003)]);
    assert.deepEqual(await allocate("new", 80, 81), [10_003, 10_004]);
  });

  it("takes over the ports that a service has by its status, where it was lost", async () => {
    const allocate = lostTable([of("old", "1", 10_007, 10_003), of("web", "2", 10_000), of("far", "3", 9_000, 30_000)]);
    assert.deepEqual(await allocate("old", 81, 80, 82), [10_003, 10_007, 10_001]);
    assert.deepEqual(await allocate("web", 80), [10_000]);
    assert.deepEqual(await allocate("far", 80, 81), [10_002, 10_004], "out of the range");
  });

  it("lets the older keep a port that two have by their statuses, whoever asks first", async () => {
    const all = [of("young", "2026-02-01T00:00:00Z", 10_000), of("old", "2026-01-01T00:00:00Z", 10_000)];
    for (const order of [
      ["young", "old"],
      ["old", "young"],
    ]) {
      const allocate = lostTable(all);
      const given = new Map<string, number[]>();
      for (const name of order) given.set(name, await allocate(name, 80));
      assert.deepEqual([given.get("old"), given.get("young")], [[10_000], [10_001]]);
    }
  });

  it("gives a port that a row has to nobody else, whatever a status says", async () => {
    const rows = new Map([[10_000, { service: "a/other", name: "", port: 80 }]]);
    const beside = { former: [{ port: 80, resolverPort: 10_000 }], isOthers: () => false, isFirst: () => true };
    const { resolverPorts } = allocatePorts(rows, "a/web", [{ port: 80 }], 0, undefined, beside);
    assert.deepEqual(resolverPorts, [10_001]);
  });

  it("puts what comes together into one write, and 1,000 ports into one ConfigMap", async () => {
    const kube = new MemoryKube();
    const table = tableOf(kube);
    const all = await Promise.all(Array.from({ length: 1_001 }, (_, i) => table.allocate(`a/s${i}`, http)));
    assert.deepEqual(
      all.map(([port]) => port),
      Array.from({ length: 1_001 }, (_, i) => 10_000 + i),
    );
    assert.deepEqual(kube.writes, [
      "create configmaps elasti/elasti-ports-0",
      "create configmaps elasti/elasti-ports-1",
    ]);
  });

  it("reads again and decides anew when somebody else wrote in between", async () => {
    const kube = new MemoryKube();
    const mine = tableOf(kube);
    const theirs = tableOf(kube);
    await mine.allocate("a/one", http);
    assert.deepEqual(await theirs.allocate("a/two", http), [10_001]);
    assert.deepEqual(await mine.allocate("a/three", http), [10_002]);
    assert.equal(Object.keys(load(kube)?.data ?? {}).length, 3);
  });

  it("gives up after several conflicts, and passes other failures on", async () => {
    const kube = new MemoryKube();
    const table = tableOf(kube);
    kube.beforeWrite = () => {
      throw kubeErrors.ELASTI_KUBE_CONFLICT("changed");
    };
    await assert.rejects(table.allocate("a/web", http), { code: "ELASTI_PORT_TABLE_CONTENDED" });
    kube.beforeWrite = () => {
      throw kubeErrors.ELASTI_KUBE_FORBIDDEN("not allowed");
    };
    await assert.rejects(table.allocate("a/web", http), { code: "ELASTI_KUBE_FORBIDDEN" });
    kube.beforeWrite = undefined;
    assert.deepEqual(await table.allocate("a/web", http), [10_000]);
  });

  it("finds its own row after a write whose outcome it did not learn", async () => {
    const kube = new MemoryKube();
    const table = tableOf(kube);
    await table.allocate("a/zero", http);
    kube.beforeWrite = (_verb, object) => {
      kube.beforeWrite = undefined;
      kube.put("configmaps", object);
      throw kubeErrors.ELASTI_KUBE_TIMEOUT("no answer", { details: { sent: true } });
    };
    assert.deepEqual(await table.allocate("a/web", http), [10_001]);
    assert.equal(kube.writes.length, 1);
  });

  it("lets the rows of a past quarantine go with the next write", async () => {
    const kube = new MemoryKube();
    const clock = new ManualClock();
    const table = tableOf(kube, clock);
    await table.allocate("a/web", http);
    await table.release("a/web");
    await table.release("a/web");
    await table.release("a/unknown");
    assert.equal(kube.writes.length, 2);
    await clock.advance(quarantineMs);
    assert.deepEqual(await table.allocate("a/two", [...http, { name: "b", port: 2 }]), [10_000, 10_001]);
    assert.deepEqual(Object.keys(load(kube)?.data ?? {}), ["10000", "10001"]);
  });

  it("leaves ports alone whose rows somebody has spoilt", async () => {
    const kube = new MemoryKube();
    kube.put("configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: "elasti-ports-0",
        namespace: "elasti",
        labels: { "elasti.truefoundry.com/port-table": "true" },
      },
      data: { "10000": "{", "10001": '{"service":7}' },
    } as ConfigMap);
    assert.deepEqual(await tableOf(kube).allocate("a/web", http), [10_002]);
  });
});
