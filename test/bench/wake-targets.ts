import type { ElastiService } from "@elasti/api";
import { type KubeClient, type KubeObject, resources } from "@elasti/kube";
import type { BenchApp, Host } from "./host.ts";

export const PROBE_PERIOD_S = 10;

/** One app of the benchmark with its Service and ElastiService. */
export interface Target {
  readonly startMs: number;
  readonly app: BenchApp;
  /** Resolves when it sleeps and all its pods are gone. */
  asleep: Promise<unknown>;
}

/** Makes the apps, all at zero. Their trigger names a server that is not there, so nothing but the benchmark puts them to sleep. */
export async function makeTargets(host: Host, starts: readonly number[], each: number): Promise<Target[]> {
  const targets: Target[] = [];
  for (const startMs of starts) {
    for (let index = 1; index <= each; index++) {
      const name = `app-${startMs}-${index}`;
      const app = await host.sampleApp({ name, startMs, readinessPeriodSeconds: PROBE_PERIOD_S });
      await host.elastiService({
        spec: {
          service: name,
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
          triggers: [{ type: "prometheus", metadata: { query: "vector(1)", threshold: "0.5" } }],
        },
      });
      targets.push({ startMs, app, asleep: sleeping(host, name) });
    }
  }
  return targets;
}

const sleeping = (host: Host, name: string, afterEpoch = -1) =>
  host.waitForPhase("default", name, "Asleep", {
    afterEpoch,
    timeoutMs: 60_000,
    when: (es) => es.status?.podsGone === true,
  });

export async function setReplicas(client: KubeClient, name: string, replicas: number): Promise<void> {
  await client.patch(resources.deployments, "default", name, "merge", { spec: { replicas } }, { subresource: "scale" });
}

/** Scales by hand to zero and lets `target.asleep` follow. */
export async function putToSleep(host: Host, target: Target): Promise<void> {
  const { name } = target.app;
  const { status } = await host.client.get<KubeObject & Pick<ElastiService, "status">>(
    resources.elastiServices,
    "default",
    name,
  );
  const epoch = status?.epoch ?? 0;
  await setReplicas(host.client, name, 0);
  target.asleep = sleeping(host, name, status?.phase === "Asleep" ? epoch - 1 : epoch);
  target.asleep.catch(() => {});
}
