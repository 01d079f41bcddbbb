import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { API_VERSION, type ElastiService, KIND } from "@elasti/api";
import { Metrics, silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { FactsGatherer } from "../src/controller/facts.ts";
import { SessionHub } from "../src/elastiserver/session-hub.ts";
import { ClusterView, type StoredElastiService } from "../src/lifecycle/cluster-view.ts";
import { Memories } from "../src/lifecycle/memory.ts";
import { overrideReader } from "../src/lifecycle/override-of.ts";
import { MemoryKube } from "./kit/kube.ts";

const es = (name: string, spec: Partial<ElastiService["spec"]> = {}, phase = "Serving"): StoredElastiService => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name, namespace: "shop", uid: name, resourceVersion: "1" },
  spec: { service: name, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" }, ...spec },
  status: { phase: phase as "Serving" },
});

/** @param heldFor the Service for which requests wait */
function gathererOver(all: readonly StoredElastiService[], heldFor?: string): FactsGatherer {
  const clock = new ManualClock();
  const common = { clock, logger: silentLogger };
  const view = new ClusterView({ ...common, client: new MemoryKube() });
  for (const one of all) view.stores.elastiServices.upsert(one);
  const hub = new SessionHub({ ...common, metrics: new Metrics({ clock }) }, { operator: "operator-0" });
  const { traffic } = hub;
  hub.traffic = (...service) => ({ ...traffic.apply(hub, service), held: service[1] === heldFor ? 1 : 0 });
  return new FactsGatherer({
    view,
    targets: { of: () => ({ kind: "pending", reason: "TargetPending", message: "" }) },
    hub,
    autoscalers: { obstacle: () => undefined, due: () => [], wanted: () => ({ autoscaled: false }) },
    others: { obstacle: undefined },
    verdicts: { latest: () => undefined, look: () => Promise.reject(new TypeError("not asked here")) },
    memories: new Memories(),
    overrideOf: overrideReader(clock, () => undefined),
    clock,
    verdictMaxAgeMs: 60_000,
    minGraceMs: 10_000,
    requiredResolvers: () => [],
  });
}

describe("ElastiServices with one target", () => {
  const web = es("web", { routing: { graceSeconds: 5 } });
  const slow = es("slow", { routing: { graceSeconds: 300 } });

  it("give nodes the same time, the longest that one of them wants and never less than two scrapes", () => {
    assert.equal(gathererOver([web]).graceMsOf(web), 10_000);
    const both = gathererOver([web, slow]);
    assert.deepEqual([both.graceMsOf(web), both.graceMsOf(slow)], [300_000, 300_000]);
  });

  it("are woken together by whoever waits for one of them", () => {
    const about = { service: undefined, refused: undefined, routes: [], desiredSlices: [], namespaceGoing: false };
    const reasonOf = (heldFor?: string) => {
      const gathered = gathererOver([web, slow], heldFor).gather(web, { ...about, slicesMatch: () => true });
      return [gathered.wakeReason, gathered.facts.wantsAwake];
    };
    assert.deepEqual(
      [reasonOf(), reasonOf("slow"), reasonOf("web")],
      [
        ["manual", false],
        ["request", false],
        ["request", true],
      ],
    );
  });

  it("are not those that have no say: degraded, for a Service of another's, with another kind", () => {
    const target = { apiVersion: "apps/v1", kind: "StatefulSet", name: "web" };
    const others = [es("off", {}, "Degraded"), es("zz-copy", { service: "web" }), es("db", { scaleTargetRef: target })];
    assert.deepEqual(gathererOver([web, ...others]).peersOf(web), []);
    assert.deepEqual(
      gathererOver([web, slow])
        .peersOf(web)
        .map(({ metadata }) => metadata.name),
      ["slow"],
    );
  });
});
