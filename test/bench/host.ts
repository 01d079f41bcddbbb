import type { ElastiService, Phase } from "@elasti/api";
import type { KubeClient } from "@elasti/kube";

/** A sample app with its Service. */
export interface BenchApp {
  readonly name: string;
  /** Cluster IP and port of its Service. */
  readonly address: string;
  readonly port: number;
}

/** A cluster with Elasti on it, as far as the benchmarks need to know: the embedded one, or a real one. */
export interface Host {
  readonly client: KubeClient;
  sampleApp(options: { name: string; startMs: number; readinessPeriodSeconds?: number }): Promise<BenchApp>;
  elastiService(options: { spec: ElastiService["spec"] }): Promise<unknown>;
  /** Resolves with the ElastiService once it is in the phase; `afterEpoch`: only a later epoch counts. */
  waitForPhase(
    namespace: string,
    name: string,
    phase: Phase,
    options: { afterEpoch?: number; timeoutMs?: number; when?: (es: ElastiService) => boolean },
  ): Promise<ElastiService>;
}
