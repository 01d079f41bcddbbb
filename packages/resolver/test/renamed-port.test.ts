import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import type { PodTarget } from "../src/contracts.ts";
import { routeTable } from "./support/route-table.ts";
import { FakeActivation, FakePods, webService } from "./support/world.ts";

/** Pods whose ports have names, as those of the private Service's slices. */
class NamedPods extends FakePods {
  readonly names = new Map<string, number>();

  override usable(portName?: string): readonly PodTarget[] {
    const port = this.names.get(portName ?? "");
    return port === undefined ? [] : this.pods.map((pod) => ({ ...pod, port }));
  }
}

const pod: PodTarget = { uid: "u", name: "web-0", address: "127.0.0.1", port: 0 };

function asleep(t: TestContext) {
  const clock = new ManualClock();
  const pods = new NamedPods();
  const activation = new FakeActivation();
  const table = routeTable(clock, { activation, pods: () => pods });
  t.after(() => table.close());
  table.open();
  let epoch = 1;
  const routes = (
    phase: "Asleep" | "Waking",
    ...all: [name: string | undefined, port: number, resolverPort: number][]
  ) =>
    table.upsert(
      webService({
        status: {
          phase,
          epoch: epoch++,
          podsGone: true,
          routes: all.map(([name, port, resolverPort]) => ({
            ...(name === undefined ? {} : { name }),
            port,
            resolverPort,
            protocol: "TCP",
          })),
        },
      }),
    );
  /** Waits as a request does that came on a resolver port. */
  const hold = (resolverPort: number) => {
    const { service, portName } = table.byPort(resolverPort)!;
    const held = { released: undefined as number | undefined };
    service.gate.hold(
      {
        release: (admission) => {
          held.released = admission.pod.port;
          service.gate.finish(admission, "answered");
        },
        fail: () => {},
      },
      portName,
      true,
    );
    return held;
  };
  return { pods, routes, hold };
}

describe("who waits while the Service's port gets another name", () => {
  test("goes to the pods by the new one", (t) => {
    const { pods, routes, hold } = asleep(t);
    routes("Asleep", [undefined, 80, 10_001]);
    const held = hold(10_001);
    routes("Asleep", ["http", 80, 10_001], ["metrics", 90, 10_002]);
    const later = hold(10_001);
    routes("Waking", ["web", 80, 10_001], ["metrics", 90, 10_002]);
    pods.names.set("web", 8_080).set("metrics", 9_090);
    pods.set(pod);
    assert.deepEqual([held.released, later.released], [8_080, 8_080]);
  });

  test("goes to them at once where they are there already", (t) => {
    const { pods, routes, hold } = asleep(t);
    routes("Waking", ["http", 80, 10_001]);
    pods.names.set("web", 8_080);
    pods.set(pod);
    const held = hold(10_001);
    assert.equal(held.released, undefined);
    routes("Waking", ["web", 8_000, 10_001]);
    assert.equal(held.released, 8_080);
  });

  test("is no reason to lead another port that has the name by now to those pods", (t) => {
    const { pods, routes, hold } = asleep(t);
    routes("Waking", ["http", 80, 10_001]);
    routes("Waking", ["web", 80, 10_001]);
    routes("Waking", ["web", 80, 10_001], ["http", 81, 10_002]);
    pods.names.set("web", 8_080);
    pods.set(pod);
    assert.equal(hold(10_002).released, undefined);
    assert.equal(hold(10_001).released, 8_080);
  });
});
