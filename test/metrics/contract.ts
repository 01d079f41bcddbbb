import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { Clock } from "@elasti/core";
import { type Deployment, type KubeClient, type Pod, resources } from "@elasti/kube";
import { type MetricSample, ResourceSource } from "@elasti/policies";
import { deployment } from "../contract/objects.ts";

/** A pod of the contract: a container `app` that computes with a tenth of a core, and others that end at once. */
export interface MeasuredPod {
  readonly name: string;
  readonly app: string;
  readonly ending?: readonly string[];
}
export const cores = 0.1;

/** What measures pods, and its cluster: the real metrics-server or its double. */
export interface MetricsGround {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** Makes it answer for metrics.k8s.io for the first time. */
  install(): Promise<void>;
  end(): Promise<void>;
  begin(): Promise<void>;
  /** Resolves when it runs. */
  run(pod: MeasuredPod): Promise<Pod>;
  /** Resolves when nothing of it is left. */
  remove(name: string): Promise<void>;
  /** Resolves just after it has looked at all pods that run now, often enough to say what they use. */
  rounds(): Promise<void>;
}

interface PodMetricsList {
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly items: readonly {
    readonly metadata: Readonly<Record<string, unknown>> & { readonly name: string };
    readonly timestamp: string;
    readonly window: string;
    readonly containers: readonly { readonly name: string; readonly usage: Readonly<Record<string, string>> }[];
  }[];
}

const namespace = "default";
const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods`;

/** What of metrics.k8s.io the metric source `resource` counts on. The real metrics-server is held to it, and so is its double. */
export function describeMetrics(what: string, ground: () => MetricsGround): void {
  describe(what, () => {
    const running = new Set<string>();
    const run = async (name: string, app: string, ending: readonly string[] = []) => {
      running.add(name);
      return await ground().run({ name, app, ending });
    };
    const list = async (app: string) =>
      await ground().client.raw<PodMetricsList>("GET", `${path}?labelSelector=${encodeURIComponent(`app=${app}`)}`);
    /** The first answer for a pod of an app: that it runs, metrics-server learns by a watch. */
    const answered = async (app: string) => {
      const signal = AbortSignal.timeout(20_000);
      for (;;) {
        const [found] = (await list(app)).items;
        if (found !== undefined) return found;
        await pause(50, undefined, { signal });
      }
    };
    let source: ResourceSource;
    before(() => {
      const { client, clock } = ground();
      source = new ResourceSource({
        client,
        // as a watch has them: always another version, so that nothing is kept
        sources: {
          workload: ({ name }) => ({
            kind: "found",
            ref: { namespace, name, resource: resources.deployments },
            replicas: 1,
            resourceVersion: crypto.randomUUID(),
          }),
        },
        clock,
        keepMs: 0,
      });
    });
    after(async () => {
      await source?.close();
      for (const name of running) await ground().remove(name);
    });
    /** What the source makes of the pods of an app. */
    const read = async (app: string): Promise<MetricSample> => {
      const target = { namespace, name: app };
      const metric = { source: "resource", resource: "cpu", statistic: "average_value" } as const;
      return await source.read(metric, target, ground().clock.now(), AbortSignal.timeout(20_000));
    };
    const unknown = async (app: string, reason: string, message: RegExp) => {
      const sample = await read(app);
      assert.ok(sample.kind === "unknown", JSON.stringify(sample));
      assert.equal(sample.reason, reason);
      assert.match(sample.message, message);
    };

    it("is not found before it is installed", async () => {
      for (const app of ["pair", "alone"])
        await ground().client.create<Deployment>(resources.deployments, deployment(namespace, app, 0));
      await assert.rejects(list("pair"), { code: "ELASTI_KUBE_NOT_FOUND" });
      await run("pair-a", "pair");
      await run("pair-b", "pair", ["ended"]);
      await unknown("pair", "PodMetricsUnavailable", /is metrics-server installed/);
      await ground().install();
    });

    it("says nothing of a pod that has just begun, and what it uses a little later", async () => {
      await run("alone", "alone");
      assert.deepEqual((await list("alone")).items, []);
      await unknown("alone", "PodMetricsMissing", /no pod has been measured yet/);
      await ground().rounds();
      const sample = await read("alone");
      // a machine that is busy gives less
      assert.ok(
        sample.kind === "value" && sample.value > cores / 4 && sample.value < cores * 3,
        JSON.stringify(sample),
      );
    });

    it("answers for the pods whose labels fit, in lists without a version, by names and no uid", async () => {
      const { kind, metadata, items } = await list("pair");
      assert.equal(kind, "PodMetricsList");
      assert.equal(metadata.resourceVersion, undefined);
      assert.deepEqual(items.map((item) => item.metadata.name).sort(), ["pair-a", "pair-b"]);
      for (const { metadata: of, timestamp, window, containers } of items) {
        assert.deepEqual([of.uid, of.namespace], [undefined, namespace]);
        // by the second, so that it is not after what it says
        assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
        assert.match(window, /^\d+(\.\d+)?s$/);
        // one that does not run is left out
        assert.deepEqual(
          containers.map(({ name }) => name),
          ["app"],
        );
        assert.match(containers[0]?.usage.cpu ?? "", /^\d+n$/);
        assert.match(containers[0]?.usage.memory ?? "", /^\d+Ki$/);
      }
    });

    it("answers for a pod with what was measured of another that had its name before", async () => {
      await ground().rounds();
      await ground().remove("alone");
      const { status } = await run("alone", "alone");
      const startedMs = Date.parse(status?.startTime ?? "");
      const old = await answered("alone");
      assert.ok(Date.parse(old.timestamp) <= startedMs, `${old.timestamp}, begun ${status?.startTime}`);
      // which is no answer
      await unknown("alone", "PodMetricsMissing", /no pod has been measured yet/);
      await ground().rounds();
      const [now] = (await list("alone")).items;
      assert.ok(Date.parse(now?.timestamp ?? "") > startedMs);
      assert.equal((await read("alone")).kind, "value");
    });

    it("is unavailable while it is away, and answers again when it is back", async () => {
      await ground().end();
      await assert.rejects(list("pair"), { code: "ELASTI_KUBE_UNAVAILABLE" });
      await unknown("pair", "PodMetricsUnavailable", /service unavailable/);
      await ground().begin();
      // it has forgotten what it knew
      await unknown("pair", "PodMetricsMissing", /no pod has been measured yet/);
      await ground().rounds();
      assert.equal((await read("pair")).kind, "value");
    });
  });
}
