import type http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { API_VERSION, type ElastiService, type ElastiServiceSpec, KIND, resolverSliceName } from "@elasti/api";
import { silentLogger, systemClock } from "@elasti/core";
import {
  answeredStatus,
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
import { type LocalCluster, type SampleAppOptions, sampleAppManifests } from "@elasti/local";
import type { ApiProxy } from "./api-proxy.ts";
import { type Answer, type Ask, patienceMs, request } from "./client.ts";
import { Sleeper } from "./sleeper.ts";
import type { Stops } from "./stops.ts";

/** Another way to install Elasti. */
export interface Installer {
  readonly namespace: string;
  /** Resolves when all pods are ready. */
  install(): Promise<void>;
  /** Idempotent. */
  uninstall(): Promise<void>;
}

export interface WorldOptions {
  readonly operators?: number;
  readonly resolvers?: number;
  readonly nodes?: number;
  readonly prometheusUrl?: string;
  /** `fast`: times that let a whole cycle pass in about a second. `default`: what nobody has set. */
  readonly settings?: "fast" | "default";
  readonly operatorEnv?: Readonly<Record<string, string>>;
  readonly resolverEnv?: Readonly<Record<string, string>>;
  readonly accounts?: readonly string[];
  /** On a real cluster: pods run the images, built of the sources as they are, and not the sources themselves. */
  readonly images?: boolean;
  /** On a real cluster: how Elasti comes there and goes, in place of all of the above. */
  readonly installer?: Installer;
  /** Sees, and may stop, what operators say to the API server. */
  readonly stops?: Stops;
}

export const OPERATOR = "elasti-operator";
export const RESOLVER = "elasti-resolver";

/** Times that let a whole cycle pass in about a second. */
export const fastOperator = {
  POLLING_INTERVAL: "300ms",
  ELASTI_SCRAPE_INTERVAL: "200ms",
  ELASTI_RESCALE_DURATION: "2s",
  ELASTI_LEASE_DURATION: "3s",
  ELASTI_LEASE_RENEW_DEADLINE: "2500ms",
  ELASTI_LEASE_RETRY_PERIOD: "250ms",
  ELASTI_KUBE_TIMEOUT: "2500ms",
};

/** Address of this machine as pods reach it, for what a test serves to them. */
export const hostAddress = process.env.ELASTI_TEST_HOST ?? "127.0.0.1";

/** What differs between the clusters that Elasti is tested on. */
export interface Ground {
  /** An address to send from by which pods can tell clients from resolvers; left out where they can anyway. */
  readonly clientAddress?: string;
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string;
  /** A token of the resolvers' account, as elastiserver accepts it. */
  resolverToken(): Promise<string>;
  /** Gives what pods of the sample app need on this cluster. */
  prepare(deployment: Deployment): Deployment;
  /** Ends the process of a pod as kill -9 does. */
  kill(pod: Pod): Promise<void>;
  /** The process of a pod, as this machine numbers it. */
  pid(pod: Pod): Promise<number>;
  /** Resolves once a node (1 or 2) leads new connections of a Service to backends whose ports fit. */
  backends(node: 1 | 2, namespace: string, service: string, fits: (ports: readonly number[]) => boolean): Promise<void>;
  close(): Promise<void>;
}

/**
 * A cluster with Elasti on it, as tests see it: the Kubernetes API and sockets. What only the embedded cluster can do is in
 * `embedded`, what only a node of ours can do in `real`.
 */
export class World {
  readonly client: KubeClient;
  /** Namespace of operator and resolvers. */
  readonly system: string;
  readonly ground: Ground;
  readonly embedded: Embedded | undefined;
  readonly real: RealNode | undefined;

  constructor(parts: { client: KubeClient; system: string; ground: Ground; embedded?: Embedded; real?: RealNode }) {
    this.client = parts.client;
    this.system = parts.system;
    this.ground = parts.ground;
    this.embedded = parts.embedded;
    this.real = parts.real;
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
    timeoutMs = patienceMs,
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
    const { namespaces } = resources;
    // of the same suite, which ran before on the same cluster
    if ((await this.get(namespaces, undefined, name)) !== undefined) {
      await this.client.delete(namespaces, undefined, name);
      await this.until("gone", namespaces, undefined, name, (one) => one === undefined);
    }
    await this.client.create(resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    return name;
  }

  /** The sample app with its Service, at zero replicas unless told otherwise. `edit` changes the manifests first. */
  async app(
    options: SampleAppOptions & { edit?: (manifests: { deployment: Deployment; service: Service }) => void },
  ): Promise<Service> {
    const manifests = sampleAppManifests({ terminationGracePeriodSeconds: 2, ...options });
    options.edit?.(manifests);
    await this.client.create(resources.deployments, this.ground.prepare(manifests.deployment));
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
  async scale(component: string, replicas: number, { wait = true, timeoutMs = patienceMs } = {}): Promise<void> {
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
      timeoutMs,
    );
  }

  /** Ends the process of a pod of Elasti as kill -9 does. */
  async kill(pod: string): Promise<void> {
    await this.ground.kill(await this.client.get<Pod>(resources.pods, this.system, pod));
  }

  /** Stops the processes of a component without ending them: they keep their connections and answer nothing. */
  async freeze(component: string): Promise<{ thaw(): void }> {
    const pids = await Promise.all((await this.pods(component)).map((pod) => this.ground.pid(pod)));
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    return {
      thaw: () => {
        for (const pid of pids) process.kill(pid, "SIGCONT");
      },
    };
  }

  /** The first node follows no change of Services for some seconds, or until it is told to. */
  lag(): { end(): void } {
    if (this.real !== undefined) {
      const paused = this.real.pauseServiceProxy(1);
      return { end: () => paused.continue() };
    }
    this.embedded?.cluster.setServiceDelay(1, 20_000);
    return { end: () => this.embedded?.cluster.setServiceDelay(1, 0) };
  }

  /** Resolves once a node routes a Service so. @param fits is given the ports of its backends */
  async backends(
    { namespace, name }: { namespace: string; name: string },
    fits: (ports: readonly number[]) => boolean,
    node: 1 | 2 = 1,
  ): Promise<void> {
    await this.ground.backends(node, namespace, name, fits);
  }

  /** Resolves once a kind that was just defined is served: a moment after its definition says that it is established. */
  async served(resource: Resource): Promise<void> {
    const signal = AbortSignal.timeout(patienceMs);
    for (;;) {
      try {
        await this.client.list(resource, { namespace: "default", signal });
        return;
      } catch (error) {
        // its storage is made only then, and asks for a moment
        if (signal.aborted || !(isNotFound(error) || answeredStatus(error) === 429)) throw error;
        await pause(50, undefined, { signal });
      }
    }
  }

  /** Resolves once the resolvers hold so many requests, of all services; one that is told to stop may hold some, too. */
  async holds(wanted: number): Promise<void> {
    const options = { namespace: this.system, labelSelector: `app=${RESOLVER}` };
    for (;;) {
      const { items } = await this.client.list<Pod>(resources.pods, options);
      const asked = items.map(async ({ status }) => {
        const { text } = await request({ host: status?.podIP ?? "", port: 8013, path: "/metrics", timeoutMs: 1_000 });
        return Number(/^elasti_resolver_holds (\d+)/m.exec(text)?.[1]);
      });
      // one that starts or is gone holds nothing
      const counts = (await Promise.allSettled(asked)).map((one) => (one.status === "fulfilled" ? one.value : 0));
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

  /** Whether a pod was reached past the resolvers, by the address that it saw. The request is to be sent with `clientOptions`. */
  async isDirect(answer: Answer): Promise<boolean> {
    const peer = String(answer.headers["x-peer"]).replace(/:\d+$/, "");
    if (this.ground.clientAddress !== undefined) return peer === this.ground.clientAddress;
    return !(await this.pods(RESOLVER)).some(({ status }) => status?.podIP === peer);
  }

  get clientOptions(): Ask {
    return this.ground.clientAddress === undefined ? {} : { localAddress: this.ground.clientAddress };
  }

  close(): Promise<void> {
    return this.ground.close();
  }
}

/** What only the embedded cluster can do. */
export interface Embedded {
  readonly cluster: LocalCluster;
  /** Between the operators and the API server. */
  readonly operatorApi: ApiProxy;
}

/** What only a node of ours can do. */
export interface RealNode {
  /** Stops the kube-proxy of a node, which then follows no change of Services, until it is continued. */
  pauseServiceProxy(node: 1 | 2): { continue(): void };
  /** Stops the API server until it is continued; connections stay open and are not answered. */
  pauseApiServer(): { continue(): void };
  /** Requests from here go out on the second node. */
  readonly secondNode: http.Agent;
  /** Calls that the API server has recorded of the operator since `mark`, as `verb resource[/subresource]`. */
  audit(): Promise<AuditEntry[]>;
}

/** One call as the API server's audit log has it. */
export interface AuditEntry {
  readonly verb: string;
  /** With its subresource. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly user: string;
  readonly code: number;
}

/** A cluster with Elasti's real processes on it: the real one that `npm run test:cluster` names, else the embedded one. */
export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const kubeconfig = process.env.ELASTI_TEST_KUBECONFIG;
  if (kubeconfig === undefined) return await (await import("./embedded-world.ts")).startEmbeddedWorld(options);
  return await (await import("./real-world.ts")).startRealWorld(kubeconfig, options);
}
