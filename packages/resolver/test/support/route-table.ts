import { silentLogger } from "@elasti/core";
import type { ManualClock } from "@elasti/core/testing";
import type { Activation, PodSource } from "../../src/contracts.ts";
import { HoldBudget } from "../../src/gate/hold.ts";
import { RouteTable } from "../../src/routes.ts";
import { ManagedService } from "../../src/service.ts";
import { FakeActivation, FakePods } from "./world.ts";

export interface RouteTableParts {
  readonly activation?: Activation;
  readonly pods?: () => PodSource;
  readonly onPorts?: () => void;
}

/** A table whose services have pods that stand still and tell nobody of their traffic. */
export function routeTable(clock: ManualClock, parts: RouteTableParts = {}): RouteTable {
  const { activation = new FakeActivation(), pods = () => new FakePods(), onPorts = () => {} } = parts;
  const common = { clock, logger: silentLogger };
  return new RouteTable({
    ...common,
    clusterDomain: "cluster.local",
    onPorts,
    createService: (namespace, name) =>
      new ManagedService(
        namespace,
        name,
        {
          ...common,
          pick: ([first]) => first,
          budget: new HoldBudget(10),
          activation,
          createPods: pods,
          onHoldEnd: () => {},
        },
        { changed() {}, urgent() {}, idle() {}, silent() {} },
      ),
  });
}
