import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { API_VERSION, type ElastiService, type ElastiServiceSpec, KIND, resolverSliceName } from "@elasti/api";
import { silentLogger, systemClock } from "@elasti/core";
import {
  type Deployment,
  type EndpointSlice,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type Lease,
  type Pod,
  Reflector,
  type Resource,
  resources,
  type Service,
} from "@elasti/kube";
import {
  elastiAccounts,
  installElasti,
  type LocalCluster,
  pidOf,
  type SampleAppOptions,
  sampleAppManifests,
  startLocalCluster,
} from "@elasti/local";
import { ApiProxy } from "./api-proxy.ts";
import { request } from "./client.ts";
import { Sleeper } from "./sleeper.ts";

export interface WorldOptions {
  readonly operators?: number;
  readonly resolvers?: number;
  readonly nodes?: number;
  readonly prometheusUrl?: string;
  readonly operatorEnv?: Readonly<Record<string, string>>;
  readonly resolverEnv?: Readonly<Record<string, string>>;
  readonly accounts?: readonly string[];
}

export const OPERATOR = "elasti-operator";
export const RESOLVER = "elasti-resolver";

/** Times that let a whole cycle pass in about a second. */
const fastOperator = {
  POLLING_INTERVAL: "300ms",
  ELASTI_SCRAPE_INTERVAL: "200ms",
  ELASTI_RESCALE_DURATION: "2s",
  ELASTI_LEASE_DURATION: "3s",
  ELASTI_LEASE_RENEW_DEADLINE: "2500ms",
  ELASTI_LEASE_RETRY_PERIOD: "250ms",
  ELASTI_KUBE_TIMEOUT: "2500ms",
};

/**
 * A cluster with Elasti on it, as tests see it: the Kubernetes API and sockets. What only the embedded cluster can do is in
 * `embedded`; on another cluster that is undefined.
 */
export class World {
  readonly client: KubeClient;
  /** Namespace of operator and resolvers. */
  readonly system: string;
  readonly embedded: Embedded | undefined;
  readonly #close: () => Promise<void>;

  constructor(parts: { client: KubeClient; system: string; embedded?: Embedded; close: () => Promise<void> }) {
    this.client = parts.client;
    this.system = parts.system;
    this.embedded = parts.embedded;
    this.#close = parts.close;
  }

  /**
   * Resolves with the first value that `look` gives for the object, by a watch.
   * @throws an Error that shows the object as it last was
   */
  async until<T extends KubeObject, V>(
    what: string,
    resource: Resource,
    namespace: string | undefined,
    name: string,
    look: (object: T | undefined) => V | undefined | false,
    timeoutMs = 20_000,
  ): Promise<V> {
    const fieldSelector = `metadata.name=${name}`;
    const options = {
      client: this.client,
      resource,
      namespace,
      fieldSelector,
      logger: silentLogger,
      clock: systemClock,
    };
    const reflector = new Reflector<T>(options);
    let last: T | undefined;
    try {
      await reflector.start();
      const see = () => {
        last = reflector.store.get(namespace, name);
        return look(last) || undefined;
      };
      return await reflector.store.until<V>(see, AbortSignal.timeout(timeoutMs));
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      const { metadata: _, ...shown } = last ?? { metadata: undefined };
      throw new Error(
        `${resource.kind} ${name}: not seen in ${timeoutMs} ms: ${what}; last seen ${JSON.stringify(shown)}`,
      );
    } finally {
      await reflector.close();
    }
  }

  async get<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
  ): Promise<T | undefined> {
    try {
      return await this.client.get<T>(resource, namespace, name);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async namespace(name: string): Promise<string> {
    await this.client.create(resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    return name;
  }

  /** The sample app with its Service, at zero replicas unless told otherwise. `edit` changes the manifests first. */
  async app(
    options: SampleAppOptions & { edit?: (manifests: { deployment: Deployment; service: Service }) => void },
  ): Promise<Service> {
    const manifests = sampleAppManifests({ terminationGracePeriodSeconds: 2, ...options });
    options.edit?.(manifests);
    await this.client.create(resources.deployments, manifests.deployment);
    return await this.client.create<Service>(resources.services, manifests.service);
  }

  async elastiService(name: string, spec: ElastiServiceSpec, namespace = "default"): Promise<ElastiService> {
    const metadata = { name, namespace };
    return await this.client.create<ElastiService>(resources.elastiServices, {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata,
      spec,
    });
  }

  /** The sample app under an ElastiService of the same name, once its first phase is written. Without triggers: mode Always. */
  async sleeper(options: Parameters<World["app"]>[0] & { spec?: Partial<ElastiServiceSpec> }): Promise<Sleeper> {
    const { name, namespace = "default", replicas = 0, spec = {} } = options;
    const service = await this.app(options);
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name };
    await this.elastiService(name, { service: name, scaleTargetRef, cooldownPeriod: 900, ...spec }, namespace);
    const sleeper = new Sleeper(this, service);
    const routed = (slice: EndpointSlice | undefined) => (slice?.endpoints ?? []).length > 0;
    if (replicas === 0) {
      await sleeper.reaches("Asleep", { when: ({ status }) => status?.podsGone === true });
      await this.until("resolvers", resources.endpointSlices, namespace, resolverSliceName(name), routed);
    } else {
      const ready = (deployment: Deployment | undefined) => deployment?.status?.readyReplicas === replicas;
      await this.until("ready", resources.deployments, namespace, name, ready);
      await sleeper.reaches("Serving");
    }
    await this.backends(sleeper, (ports) => ports.length > 0);
    return sleeper;
  }

  /** Pods of a component of Elasti that are not on their way out. */
  async pods(component: string): Promise<Pod[]> {
    const { items } = await this.client.list<Pod>(resources.pods, {
      namespace: this.system,
      labelSelector: `app=${component}`,
    });
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  /** Name of the operator pod that leads. */
  async leader(): Promise<string> {
    const lease = await this.get<Lease>(resources.leases, this.system, OPERATOR);
    return (lease?.spec.holderIdentity ?? "").replace(/_[^_]*$/, "");
  }

  /** Sets the replicas of a component and waits until so many are ready and no other is left. */
  async scale(component: string, replicas: number, { wait = true } = {}): Promise<void> {
    await this.client.patch(resources.deployments, this.system, component, "merge", { spec: { replicas } });
    if (!wait) return;
    await this.until<Deployment, true>(
      `${replicas} ready`,
      resources.deployments,
      this.system,
      component,
      (deployment) => {
        const { observedGeneration = 0, replicas: all = 0, readyReplicas = 0 } = deployment?.status ?? {};
        return (
          observedGeneration >= (deployment?.metadata.generation ?? 0) && all === replicas && readyReplicas === replicas
        );
      },
    );
  }

  /** Ends the process of a pod of Elasti as kill -9 does. */
  async kill(pod: string): Promise<void> {
    const pid = this.embedded && pidOf(await this.client.get<Pod>(resources.pods, this.system, pod));
    if (pid !== undefined) process.kill(pid, "SIGKILL");
    else await this.client.delete(resources.pods, this.system, pod, { gracePeriodSeconds: 0 });
  }

  /** Resolves once node 1 routes a Service so. @param fits is given the ports of its backends */
  async backends({ namespace, name }: Sleeper, fits: (ports: readonly number[]) => boolean): Promise<void> {
    const look = (found: readonly { port: number }[]) => fits(found.map(({ port }) => port));
    await this.embedded?.cluster.waitForBackends(1, `${namespace}/${name}`, look, AbortSignal.timeout(20_000));
  }

  /** Resolves once the resolvers hold so many requests, of all services. */
  async holds(wanted: number): Promise<void> {
    for (;;) {
      const asked = (await this.pods(RESOLVER)).map(({ status }) =>
        request({ host: status?.podIP ?? "", port: 8013, path: "/metrics" }),
      );
      const counts = (await Promise.all(asked)).map(({ text }) =>
        Number(/^elasti_resolver_holds (\d+)/m.exec(text)?.[1]),
      );
      if (counts.reduce((sum, count) => sum + count, 0) === wanted) return;
      await pause(20);
    }
  }

  /** Resolves once a pod that was killed is ready again, or another has taken its place. */
  async restarted(component: string, pod: string): Promise<void> {
    await this.until<Pod, true>("restarted", resources.pods, this.system, pod, (now) => {
      const [container] = now?.status?.containerStatuses ?? [];
      return now === undefined || (container?.ready === true && container.restartCount > 0);
    });
    const { spec } = await this.client.get<Deployment>(resources.deployments, this.system, component);
    await this.scale(component, spec.replicas ?? 0);
  }

  /** An address of clients by which pods can tell them from resolvers; undefined where the sender's own is seen anyway. */
  get clientAddress(): string | undefined {
    return this.embedded?.cluster.clientAddress(1);
  }

  close(): Promise<void> {
    return this.#close();
  }
}

/** What only the embedded cluster can do. */
export interface Embedded {
  readonly cluster: LocalCluster;
  /** Between the operators and the API server. */
  readonly operatorApi: ApiProxy;
}

/** The embedded cluster with Elasti's real processes on it. */
export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const folder = process.env.ELASTI_E2E_LOGS ?? (await mkdtemp(join(tmpdir(), "elasti-e2e-")));
  const [operatorAccount = "", ...others] = elastiAccounts();
  const cluster = await startLocalCluster({
    nodes: options.nodes ?? 1,
    accounts: [operatorAccount, ...others, ...(options.accounts ?? [])],
    podLogDir: folder,
    restart: { initialMs: 500, maxMs: 500 },
  });
  const operatorApi = await ApiProxy.start(cluster.url);
  const close = async () => {
    // processes that are told to stop first would each take their time
    await operatorApi.close();
    await cluster.close();
    if (process.env.ELASTI_E2E_LOGS === undefined) await rm(folder, { recursive: true, force: true });
  };
  try {
    const kubeconfig = join(folder, "operator.kubeconfig");
    await writeFile(kubeconfig, cluster.kubeconfig(operatorAccount).replaceAll(cluster.url, operatorApi.url), {
      mode: 0o600,
    });
    const { namespace } = await installElasti({
      cluster,
      operators: options.operators ?? 1,
      resolvers: options.resolvers ?? 1,
      env: {
        operator: { ...fastOperator, KUBECONFIG: kubeconfig, ...options.operatorEnv },
        resolver: { ELASTI_SETTLE_TIME: "300ms", ...options.resolverEnv },
      },
      logDir: folder,
      ...(options.prometheusUrl === undefined ? {} : { prometheusUrl: options.prometheusUrl }),
    });
    return new World({ client: cluster.client(), system: namespace, embedded: { cluster, operatorApi }, close });
  } catch (error) {
    await close();
    throw error;
  }
}
