import { API_VERSION, type ElastiService, KIND, type Phase } from "@elasti/api";
import { defineErrors, errorCode, silentLogger, systemClock } from "@elasti/core";
import {
  type Deployment,
  isAlreadyExists,
  type KubeClient,
  type KubeObject,
  type Lease,
  type Pod,
  Reflector,
  type Resource,
  resources,
  type Service,
} from "@elasti/kube";
import type { LocalCluster } from "../cluster.ts";
import { type Component, namespaceManifest, OPERATOR, RESOLVER } from "./manifests.ts";
import { type ElastiProcess, holderOf, runningProcesses } from "./processes.ts";
import { type SampleAppOptions, sampleAppManifests } from "./sample-app.ts";

const errors = defineErrors({
  ELASTI_LOCAL_NOT_READY: { status: 503, retryable: true, title: "Elasti did not become ready" },
  ELASTI_LOCAL_PHASE_TIMEOUT: { status: 504, retryable: true, title: "A phase was not reached in time" },
  ELASTI_LOCAL_NO_PROCESS: { status: 404, retryable: true, title: "No such process runs" },
});

/** The ElastiService to make: its spec, and names where they are not those of the Service in `default`. */
export interface ElastiServiceOptions {
  readonly name?: string;
  readonly namespace?: string;
  readonly spec: ElastiService["spec"];
}

/** A sample app that is installed. */
export interface SampleApp {
  readonly name: string;
  readonly namespace: string;
  readonly deployment: Deployment;
  readonly service: Service;
  /** Cluster IP and port of its Service. */
  readonly address: string;
  readonly port: number;
  readonly url: string;
}

export interface PhaseWait {
  /** Only a phase with a higher epoch counts. */
  readonly afterEpoch?: number;
  /** Gives up after this; 60 s by default. */
  readonly timeoutMs?: number;
  /** What else must hold, e.g. `status.podsGone`. */
  readonly when?: (es: ElastiService) => boolean;
  readonly signal?: AbortSignal;
}

/** Elasti as it runs on a local cluster. */
export class Installation {
  readonly cluster: LocalCluster;
  readonly namespace: string;
  /** Administrator's access. */
  readonly client: KubeClient;

  constructor(cluster: LocalCluster, namespace: string, client: KubeClient) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.client = client;
  }

  /** Makes an ElastiService. Its metadata defaults to the Service's name and `default`. */
  async elastiService({ name, namespace = "default", spec }: ElastiServiceOptions): Promise<ElastiService> {
    const metadata = { name: name ?? spec.service, namespace };
    return await this.client.create<ElastiService>(resources.elastiServices, {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata,
      spec,
    });
  }

  /** Makes the Deployment and the Service of a sample app, and its namespace where it is missing. */
  async sampleApp(options: SampleAppOptions): Promise<SampleApp> {
    const manifests = sampleAppManifests(options);
    const { name, namespace = "default" } = manifests.service.metadata;
    await ensure(this.client, resources.namespaces, namespaceManifest(namespace));
    const service = await this.client.create<Service>(resources.services, manifests.service);
    const deployment = await this.client.create<Deployment>(resources.deployments, manifests.deployment);
    const address = service.spec.clusterIP ?? "";
    const port = service.spec.ports?.[0]?.port ?? 0;
    return { name, namespace, deployment, service, address, port, url: `http://${address}:${port}` };
  }

  /**
   * Resolves with the ElastiService when it is in a phase.
   * @throws ELASTI_LOCAL_PHASE_TIMEOUT that says where it stands instead
   */
  async waitForPhase(namespace: string, name: string, phase: Phase, wait: PhaseWait = {}): Promise<ElastiService> {
    const { afterEpoch = -1, when = () => true } = wait;
    let seen: ElastiService | undefined;
    const look = (es: ElastiService | undefined) => {
      seen = es;
      const there = es?.status?.phase === phase && (es.status.epoch ?? 0) > afterEpoch && when(es);
      return there ? es : undefined;
    };
    return await bounded(wait, 60_000, (signal) =>
      this.cluster.waitFor<ElastiService, ElastiService>(resources.elastiServices, namespace, name, look, signal),
    ).catch((error: unknown) => {
      if (!isTimeout(error)) throw error;
      throw errors.ELASTI_LOCAL_PHASE_TIMEOUT(
        `ElastiService ${namespace}/${name} did not reach phase ${phase} in time: ${standing(seen)}`,
      );
    });
  }

  /** Sets the number of resolvers and waits until so many are ready and no other is left. */
  async scaleResolvers(replicas: number, options: { timeoutMs?: number } = {}): Promise<void> {
    await this.client.patch(resources.deployments, this.namespace, RESOLVER, "merge", { spec: { replicas } });
    await this.ready(RESOLVER, replicas, options);
  }

  /** Resolves when `replicas` pods of a component are ready and no other is left. @throws ELASTI_LOCAL_NOT_READY */
  async ready(
    component: Component,
    replicas: number,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<void> {
    await bounded(options, 30_000, async (signal) => {
      const pods = new Reflector<Pod>({
        client: this.client,
        resource: resources.pods,
        namespace: this.namespace,
        labelSelector: `app=${component}`,
        logger: silentLogger,
        clock: systemClock,
      });
      try {
        await pods.start();
        const settled = (all: readonly Pod[]) => all.length === replicas && all.every(isReady);
        await pods.store.until((store) => settled(store.list()) || undefined, signal);
      } finally {
        await pods.close();
      }
    }).catch((error: unknown) => {
      if (!isTimeout(error)) throw error;
      throw errors.ELASTI_LOCAL_NOT_READY(`${replicas} pods of ${component} did not become ready in time`);
    });
  }

  /** The replicas of both components that run now. */
  processes(): Promise<ElastiProcess[]> {
    return runningProcesses(this.client, this.namespace);
  }

  /** Pod name of the operator that leads; waits while none does. */
  leader(signal?: AbortSignal): Promise<string> {
    return this.cluster.waitFor<Lease, string>(resources.leases, this.namespace, OPERATOR, holderOf, signal);
  }

  /**
   * Kills an operator's process; its node starts it again.
   * @param which the one that leads, one that does not, or a pod by name
   * @throws ELASTI_LOCAL_NO_PROCESS
   */
  async killOperator(which: "leader" | "follower" | string = "leader", signal: NodeJS.Signals = "SIGKILL") {
    const leader = which === "leader" || which === "follower" ? await this.leader() : undefined;
    const found = (await this.processes()).find(({ component, pod }) => {
      if (component !== OPERATOR) return false;
      if (which === "leader") return pod === leader;
      return which === "follower" ? pod !== leader : pod === which;
    });
    if (found === undefined) throw errors.ELASTI_LOCAL_NO_PROCESS(`no operator fits "${which}"`);
    process.kill(found.pid, signal);
    return found;
  }

  /** Closes its connections; the processes end with the cluster. Idempotent. */
  close(): Promise<void> {
    return this.client.close();
  }
}

/** Creates an object, or finds it there. */
export async function ensure(client: KubeClient, resource: Resource, object: KubeObject): Promise<void> {
  try {
    await client.create(resource, object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

const isReady = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;

async function bounded<T>(
  options: { timeoutMs?: number; signal?: AbortSignal },
  timeoutMs: number,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? timeoutMs);
  return await run(options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]));
}

const isTimeout = (error: unknown): boolean =>
  (error instanceof DOMException && error.name === "TimeoutError") || errorCode(error) === "ABORT_ERR";

/** Where an ElastiService stands, for a message. */
function standing(es: ElastiService | undefined): string {
  if (es === undefined) return "it does not exist";
  const { phase = "none", epoch = 0, podsGone, conditions = [] } = es.status ?? {};
  const told = conditions.map(({ type, status, reason, message }) => `${type}=${status} ${reason} (${message})`);
  return [`phase ${phase}, epoch ${epoch}${podsGone === true ? ", pods gone" : ""}`, ...told].join("; ");
}
