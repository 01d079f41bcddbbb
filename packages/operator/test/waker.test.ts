import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { API_VERSION, type ElastiServiceStatus, KIND, OVERRIDE_ANNOTATION } from "@elasti/api";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { kubeErrors, resources } from "@elasti/kube";
import { ScaleHandler } from "@elasti/scaling";
import { ClusterView, type StoredElastiService } from "../src/lifecycle/cluster-view.ts";
import { overrideReader } from "../src/lifecycle/override-of.ts";
import { phaseChange, StatusWriter } from "../src/lifecycle/status-writer.ts";
import { Waker } from "../src/waker.ts";
import { MemoryKube } from "./kit/kube.ts";

const ref = { namespace: "shop", resource: resources.deployments, name: "web" };

/** The one ElastiService as the API server has it; who changes it in between makes the next write a conflict. */
class Statuses extends StatusWriter {
  es: StoredElastiService;
  /** Runs before a write is looked at. */
  before: () => void = () => {};

  constructor(client: MemoryKube, view: ClusterView, clock: ManualClock, status: ElastiServiceStatus) {
    super(client, view, clock);
    const metadata = { name: "web", namespace: "shop", uid: "web", resourceVersion: "1" };
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
    this.es = { apiVersion: API_VERSION, kind: KIND, metadata, spec: { service: "web", scaleTargetRef }, status };
    client.get = (async () => this.es) as unknown as MemoryKube["get"];
  }

  change(status: ElastiServiceStatus): StoredElastiService {
    const resourceVersion = String(Number(this.es.metadata.resourceVersion) + 1);
    const metadata = { ...this.es.metadata, resourceVersion };
    this.es = { ...this.es, metadata, status: { ...this.es.status, ...status } };
    return this.es;
  }

  override async write(es: StoredElastiService, change: object): Promise<StoredElastiService> {
    this.before();
    if (es.metadata.resourceVersion !== this.es.metadata.resourceVersion)
      throw kubeErrors.ELASTI_KUBE_CONFLICT("changed");
    return this.change(change);
  }
}

describe("a wake at a replica that does not lead", () => {
  let statuses: Statuses;
  let waker: Waker;
  /** What the API server has. */
  let scale: { replicas: number; resourceVersion: string };
  /** What the watch of this replica shows. */
  let watched: { replicas: number; resourceVersion: string };

  beforeEach(() => {
    const clock = new ManualClock();
    const common = { clock, logger: silentLogger };
    const client = new MemoryKube();
    const view = new ClusterView({ ...common, client });
    statuses = new Statuses(client, view, clock, { phase: "Asleep", epoch: 7, podsGone: true });
    scale = { replicas: 0, resourceVersion: "20" };
    watched = scale;
    const set = async ({ replicas, resourceVersion }: typeof scale) => {
      if (resourceVersion !== scale.resourceVersion) throw kubeErrors.ELASTI_KUBE_CONFLICT("changed");
      scale = { replicas, resourceVersion: String(Number(resourceVersion) + 1) };
      return scale;
    };
    const handler = new ScaleHandler({
      ...common,
      client: { getScale: async () => scale, setScale: set, fenceScale: set },
      targets: { cached: () => watched },
    });
    waker = new Waker({
      ...common,
      overrideOf: overrideReader(clock, () => undefined),
      client,
      view,
      targets: {
        of: () => ({
          kind: "found",
          ref,
          replicas: handler.latest(ref)?.replicas ?? 0,
          statusReplicas: 0,
          template: undefined,
          deleting: false,
        }),
      },
      scale: handler,
      status: statuses,
      autoscalers: { wanted: () => ({ replicas: 1, autoscaled: false }), beforeWake: async () => {} },
      events: { record: () => {} },
      held: () => 0,
      ownerOf: () => statuses.es,
      onWake: () => {},
    });
  });
  const wake = () => waker.wake({ count: 1, svc: "web", namespace: "shop" });

  it("scales up, though its watch on the target is behind and shows it before the sleep", async () => {
    watched = { replicas: 1, resourceVersion: "12" };
    const { outcome, phase } = await wake();
    assert.deepEqual([outcome, phase, scale.replicas], ["scaled", "Waking", 1]);
  });

  it("says that it woke from zero, though another replica has raised it already", async () => {
    scale = { replicas: 1, resourceVersion: "21" };
    assert.equal((await wake()).outcome, "already-awake");
    const { fromReplicas, toReplicas } = statuses.es.status?.lastWake ?? {};
    assert.deepEqual([fromReplicas, toReplicas], [0, 1]);
  });

  it("does not wake what is pinned asleep, but for one that is being deleted", async () => {
    const until = new Date(Date.UTC(2026, 0, 1, 1)).toISOString();
    const annotations = { [OVERRIDE_ANNOTATION]: JSON.stringify({ kind: "pin", replicas: 0, until, by: "ada" }) };
    const { es } = statuses;
    statuses.es = { ...es, metadata: { ...es.metadata, annotations } };
    await assert.rejects(wake(), { code: "ELASTI_PINNED_ASLEEP" });
    assert.equal(scale.replicas, 0);
    const deletionTimestamp = new Date(0).toISOString();
    statuses.es = { ...es, metadata: { ...es.metadata, annotations, deletionTimestamp } };
    assert.equal((await wake()).outcome, "scaled");
    assert.equal(scale.replicas, 1);
  });

  it("claims a wake that the leader took for one by others, however often that one writes meanwhile", async () => {
    let writes = 0;
    statuses.before = () => {
      writes += 1;
      if (writes === 1) {
        const raise = { time: new Date(0).toISOString(), epoch: 8 };
        const lastWake = { time: raise.time, reason: "manual", fromReplicas: 0, toReplicas: 1 } as const;
        statuses.change({ ...(phaseChange(statuses.es.status, "Waking", 0) as object), raises: [raise], lastWake });
      } else if (writes < 4) statuses.change({ mode: "proxy" });
    };
    assert.equal((await wake()).phase, "Waking");
    const { raises, lastWake } = statuses.es.status ?? {};
    assert.deepEqual([raises, lastWake?.reason], [[], "request"]);
  });
});
