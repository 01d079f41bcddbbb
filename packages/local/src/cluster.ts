import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { type Clock, Lifecycle, type Logger, silentLogger, systemClock } from "@elasti/core";
import {
  createKubeClient,
  type Deployment,
  type EndpointSlice,
  type KubeClient,
  type KubeObject,
  type Pod,
  Reflector,
  type Resource,
  resources,
  type Service,
  type Store,
  type Transport,
} from "@elasti/kube";
import { type ApiServer, type ApiServerOptions, startApiServer } from "./api-server/index.ts";
import { DeploymentController } from "./controllers/deployment-controller.ts";
import { EndpointSliceController } from "./controllers/endpoint-slice-controller.ts";
import { AddressPlan } from "./node/address-plan.ts";
import type { ContainerOutput } from "./node/container-process.ts";
import { Kubelet } from "./node/kubelet.ts";
import { registerNode } from "./node/node-object.ts";
import { OrphanGuard } from "./node/orphan-guard.ts";
import type { RestartSettings } from "./node/restart-backoff.ts";
import { Scheduler } from "./node/scheduler.ts";
import type { ServiceDelay } from "./services/node-table.ts";
import type { Backend } from "./services/routes.ts";
import { ServiceProxy } from "./services/service-proxy.ts";
import { ServiceRouter, SLICES_BY_SERVICE, servicesOf } from "./services/service-router.ts";

/** One line that a pod wrote. */
export interface PodLogLine {
  namespace: string;
  pod: string;
  stream: "stdout" | "stderr";
  line: string;
}

export interface LocalClusterOptions {
  /** Number of nodes, `node-1` and so on; 1 by default. */
  nodes?: number;
  logger?: Logger;
  clock?: Clock;
  /** User names that get a token each, beside `admin`; the name of a service account where the server reviews tokens. */
  accounts?: readonly string[];
  /** Each pod's output goes to `<dir>/<namespace>_<pod>.log`. */
  podLogDir?: string;
  onPodLog?: (line: PodLogLine) => void;
  /** What every container's environment begins with. By default PATH alone: this process's Node, then the system's folders. */
  env?: Readonly<Record<string, string>>;
  /** Delays before the second and later restarts of a container; 10 s doubling to 5 min by default. */
  restart?: RestartSettings;
  apiServer?: Pick<ApiServerOptions, "port" | "eventWindow" | "bookmarkIntervalMs">;
}

export interface LocalCluster {
  readonly url: string;
  readonly apiServer: ApiServer;
  readonly nodeNames: readonly string[];
  /** What the cluster itself watches, always fresh: read it, or await `until`. */
  readonly stores: {
    readonly pods: Store<Pod>;
    readonly deployments: Store<Deployment>;
    readonly services: Store<Service>;
    readonly slices: Store<EndpointSlice>;
  };
  /** The Services' routing, for what has no method here. */
  readonly services: ServiceProxy;
  /** The kubeconfig of an account as text; of `admin` by default. */
  kubeconfig(account?: string): string;
  /** The same as a file that lasts until close. */
  kubeconfigPath(account?: string): Promise<string>;
  token(account?: string): string;
  /** A client of its own connections, closed with the cluster. `transport` takes a FaultInjector. */
  client(options?: { account?: string; transport?: Transport | readonly Transport[] }): KubeClient;
  /** How late a node (from 1) follows changes of Services and slices, in ms; a function is asked once per change. */
  setServiceDelay(node: number, delay: ServiceDelay): void;
  /** Whether Services hide the addresses of clients on this node. */
  setMasquerade(node: number, masquerade: boolean): void;
  /** Resolves once the node routes the Service (`namespace/name`) so. */
  waitForBackends(
    node: number,
    service: string,
    predicate: (backends: readonly Backend[]) => boolean,
    signal?: AbortSignal,
  ): Promise<void>;
  /** An address to dial from (`localAddress`) so that Services take the client for one on that node. */
  clientAddress(node: number, index?: number): string;
  /** Resolves with the first value that `look` gives for the object, by a watch; `look` gets undefined while there is none. */
  waitFor<T extends KubeObject, V>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    look: (object: T | undefined) => V | undefined,
    signal?: AbortSignal,
  ): Promise<V>;
  /** Kills every pod and ends everything; idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a Kubernetes of one process: API server, controllers, nodes whose pods are local processes, Services that are
 * sockets. Linux only, because every pod and Service has an address in 127/8.
 */
export async function startLocalCluster(options: LocalClusterOptions = {}): Promise<LocalCluster> {
  const { clock = systemClock, logger = silentLogger, nodes = 1 } = options;
  const life = new Lifecycle(logger, { clock, closeTimeoutMs: 10_000 });
  // whatever has been made is closed in reverse order, also when a later step fails
  const own = <T extends { close(): Promise<void> | void }>(name: string, part: T): T => life.add(name, part);

  const plan = own("addresses", await AddressPlan.claim());
  const tokens = new Map(
    ["admin", ...(options.accounts ?? [])].map((account) => [account, randomBytes(16).toString("hex")]),
  );
  const apiServer = own(
    "api-server",
    await startApiServer({
      tokens: Object.fromEntries([...tokens].map(([account, token]) => [token, account])),
      serviceCidr: plan.serviceCidr,
      clock,
      logger,
      ...options.apiServer,
    }),
  );
  const tokenOf = (account = "admin"): string => {
    const token = tokens.get(account);
    if (token === undefined) throw new RangeError(`no account "${account}": name it in the options of the cluster`);
    return token;
  };
  const clients = own("clients", new Clients());
  const newClient: LocalCluster["client"] = ({ account, transport } = {}) => {
    const token = tokenOf(account);
    const cluster = { server: apiServer.url, token: async () => token };
    return clients.add(createKubeClient({ cluster, clock, logger, ...(transport === undefined ? {} : { transport }) }));
  };
  const client = newClient();
  const reflect = <T extends KubeObject>(resource: Resource, indexers = {}) =>
    own(resource.plural, new Reflector<T>({ client, resource, logger, clock, indexers }));
  const pods = reflect<Pod>(resources.pods);
  const deployments = reflect<Deployment>(resources.deployments);
  const services = reflect<Service>(resources.services);
  const slices = reflect<EndpointSlice>(resources.endpointSlices, { [SLICES_BY_SERVICE]: servicesOf });

  const nodeNames = Array.from({ length: nodes }, (_, index) => `node-${index + 1}`);
  const stores = { pods: pods.store, services: services.store, slices: slices.store, deployments: deployments.store };
  const common = { client, clock, logger, ...stores };
  const proxy = own("services", new ServiceProxy({ plan, nodeNames, clock, logger }));
  own("service-router", new ServiceRouter({ services: services.store, slices: slices.store, proxy }));
  const guard = own("orphan-guard", new OrphanGuard(logger));
  const baseEnv = options.env ?? {
    PATH: [dirname(process.execPath), "/usr/local/bin", "/usr/bin", "/bin"].join(delimiter),
  };
  for (const [index, nodeName] of nodeNames.entries()) {
    const node = index + 1;
    own(nodeName, {
      start: () => registerNode(client, nodeName, plan.nodeAddress(node), clock.now()),
      close: () => {},
    });
    const restart = options.restart === undefined ? {} : { restart: options.restart };
    const outputOf = (pod: Pod) => outputOfPod(pod, options);
    own(`kubelet-${node}`, new Kubelet({ ...common, plan, guard, node, nodeName, baseEnv, outputOf, ...restart }));
  }
  own("scheduler", new Scheduler({ ...common, nodeNames }));
  own("endpoint-slices", new EndpointSliceController(common));
  own("deployments-controller", new DeploymentController(common));
  const files = own("files", new KubeconfigFiles());
  await life.start();

  return {
    url: apiServer.url,
    apiServer,
    nodeNames,
    stores,
    services: proxy,
    kubeconfig: (account) => apiServer.kubeconfig(tokenOf(account)),
    kubeconfigPath: (account = "admin") => files.path(account, apiServer.kubeconfig(tokenOf(account))),
    token: tokenOf,
    client: newClient,
    setServiceDelay: (node, delay) => proxy.setDelay(node, delay),
    setMasquerade: (node, masquerade) => proxy.setMasquerade(node, masquerade),
    waitForBackends: (...args) => proxy.waitForBackends(...args),
    clientAddress: (node, index) => plan.clientAddress(node, index),
    async waitFor<T extends KubeObject, V>(
      resource: Resource,
      namespace: string | undefined,
      name: string,
      look: (object: T | undefined) => V | undefined,
      signal?: AbortSignal,
    ): Promise<V> {
      const fieldSelector = `metadata.name=${name}`;
      const reflector = new Reflector<T>({ client, resource, namespace, fieldSelector, logger, clock });
      try {
        await reflector.start();
        return await reflector.store.until((store) => look(store.get(namespace, name)), signal);
      } finally {
        await reflector.close();
      }
    },
    close: () => life.close(),
  };
}

function outputOfPod(pod: Pod, { podLogDir, onPodLog }: LocalClusterOptions): ContainerOutput | undefined {
  const { namespace = "default", name } = pod.metadata;
  return {
    ...(podLogDir === undefined ? {} : { file: join(podLogDir, `${namespace}_${name}.log`) }),
    ...(onPodLog === undefined ? {} : { onLine: (line, stream) => onPodLog({ namespace, pod: name, stream, line }) }),
  };
}

/** Clients made for others. */
class Clients {
  readonly #clients: KubeClient[] = [];

  add(client: KubeClient): KubeClient {
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.close()));
  }
}

/** Kubeconfig files in a folder of their own, readable by this user only, removed at close. */
class KubeconfigFiles {
  #folder: Promise<string> | undefined;

  async path(account: string, text: string): Promise<string> {
    this.#folder ??= mkdtemp(join(tmpdir(), "elasti-local-"));
    const path = join(await this.#folder, `${account.replaceAll(/[^\w.-]/g, "_")}.kubeconfig`);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  }

  async close(): Promise<void> {
    if (this.#folder !== undefined) await rm(await this.#folder, { recursive: true, force: true });
  }
}
