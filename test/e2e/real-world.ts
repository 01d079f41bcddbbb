import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import http from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { errorText } from "@elasti/core";
import {
  createKubeClient,
  isAlreadyExists,
  isNotFound,
  type KubeClient,
  type KubeObject,
  loadCluster,
  type Pod,
  type Resource,
  resources,
} from "@elasti/kube";
import { OPERATOR, RESOLVER } from "@elasti/local";
import { stateOf } from "../cluster/cluster.ts";
import { installPods, serviceAccounts, uninstall, withSources } from "../cluster/elasti.ts";
import { elastiImages } from "../cluster/elasti-images.ts";
import type { Wanted } from "../cluster/installed.ts";
import { addresses, cacheFolder, Places } from "../cluster/places.ts";
import { ServiceTable } from "../cluster/service-table.ts";
import { run } from "../cluster/shell.ts";
import { ApiProxy } from "./api-proxy.ts";
import {
  type AuditEntry,
  fastOperator,
  type Ground,
  hostAddress,
  type Installer,
  type RealNode,
  World,
  type WorldOptions,
} from "./world.ts";

/**
 * Elasti as pods of a real cluster, from the sources of this repository or from the images built of them. Each world has a namespace of its own for operator and
 * resolvers; apps are in `default`, which is emptied at the end.
 */
export async function startRealWorld(kubeconfig: string, options: WorldOptions): Promise<World> {
  const cluster = await loadCluster({ kubeconfigPath: kubeconfig });
  const client = createKubeClient({ cluster });
  const wanted = wantedOf(options);
  const installer = options.installer ?? (await installedIfAsked(wanted, options));
  const system = installer?.namespace ?? `elasti-${randomBytes(3).toString("hex")}`;
  const nodeName = process.env.ELASTI_TEST_NODE;
  const node = nodeName === undefined ? undefined : new NodeOfOurs(nodeName);
  const program = node?.kubectl ?? "kubectl";
  const kubectl = (...args: string[]) => run(program, "--kubeconfig", kubeconfig, ...args);
  const ground: Ground = {
    kubeconfig,
    resolverToken: async () =>
      (await kubectl("create", "token", RESOLVER, "--namespace", system, "--audience", "elasti-operator")).trim(),
    prepare: withSources,
    async kill({ metadata }) {
      if (node === undefined)
        await client.delete(resources.pods, metadata.namespace, metadata.name, { gracePeriodSeconds: 0 });
      else process.kill(await node.pidOf(metadata.name), "SIGKILL");
    },
    async pid({ metadata }) {
      if (node === undefined) throw new Error("processes of pods are known of a node of ours only");
      return await node.pidOf(metadata.name);
    },
    async backends(which, namespace, service, fits) {
      if (node !== undefined) return await node.tables[which].until(namespace, service, fits);
      throw new Error("how a node routes is known of a node of ours only");
    },
    async close() {
      node?.close();
      await empty(client);
      await operatorApi?.close();
      await installer?.uninstall();
      await uninstall(client, system);
      await client.close();
    },
  };
  let operatorApi: ApiProxy | undefined;
  const world = new World({ client, system, ground, ...(node === undefined ? {} : { real: node }) });
  try {
    if (installer !== undefined) {
      await installer.install();
      return world;
    }
    const { stops } = options;
    let led = {};
    if (stops !== undefined) {
      const tls = cluster.ca === undefined ? {} : { ca: cluster.ca };
      operatorApi = await ApiProxy.start(cluster.server, { stops, tls, host: hostAddress });
      await prepareAccount(client, system);
      const token = (await kubectl("create", "token", OPERATOR, "--namespace", system)).trim();
      led = { KUBECONFIG: await writeKubeconfig(`${system}.kubeconfig`, operatorApi.url, token) };
    }
    await installPods({
      client,
      namespace: system,
      images: options.images ? await elastiImages() : undefined,
      replicas: wanted.replicas,
      env: {
        [OPERATOR]: { ...wanted.env[OPERATOR], ...led },
        [RESOLVER]: { ELASTI_SETTLE_TIME: "3s", ...wanted.env[RESOLVER] },
      },
    });
    const ready = [OPERATOR, RESOLVER] as const;
    await Promise.all(ready.map((name) => world.scale(name, wanted.replicas[name], { timeoutMs: 90_000 })));
    return world;
  } catch (error) {
    const said = (await node?.lastWords(system)) ?? "";
    await ground.close();
    throw new Error(`${errorText(error)}\n${said}`, { cause: error });
  }
}

/** What the two programs are told. */
function wantedOf(options: WorldOptions): Wanted {
  const { operators = 1, resolvers = 1, prometheusUrl, operatorEnv, resolverEnv } = options;
  return {
    replicas: { [OPERATOR]: operators, [RESOLVER]: resolvers },
    env: {
      [OPERATOR]: {
        ...(options.settings === "default" ? {} : fastOperator),
        ...(prometheusUrl === undefined ? {} : { PROMETHEUS_TRIGGER_SERVER_ADDRESS: prometheusUrl }),
        ...operatorEnv,
      },
      [RESOLVER]: { ...resolverEnv },
    },
  };
}

/** With `ELASTI_TEST_INSTALLED` the chart installs what a suite asks for. */
async function installedIfAsked(wanted: Wanted, { stops }: WorldOptions): Promise<Installer | undefined> {
  if (process.env.ELASTI_TEST_INSTALLED === undefined) return undefined;
  if (stops !== undefined) throw new Error("the operators of an installation talk to the API server alone");
  const { Installed } = await import("../cluster/installed.ts");
  return new Installed(wanted);
}

/** The account of the operator, before its pods. */
async function prepareAccount(client: KubeClient, namespace: string): Promise<void> {
  await client.create(resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: OPERATOR, namespace } };
  await client.create(serviceAccounts, account);
}

/** Writes it where pods of Elasti see it. @returns its path in the pods */
async function writeKubeconfig(name: string, server: string, token: string): Promise<string> {
  const folder = join(cacheFolder(), "compiled");
  await mkdir(folder, { recursive: true });
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "proxy", cluster: { server } }],
    users: [{ name: "operator", user: { token } }],
    contexts: [{ name: "proxy", context: { cluster: "proxy", user: "operator" } }],
    "current-context": "proxy",
  };
  await writeFile(join(folder, name), JSON.stringify(config));
  return `/compiled/${name}`;
}

/** What a test of ours may do to the machine that the pods run on. */
class NodeOfOurs implements RealNode {
  readonly tables: Readonly<Record<1 | 2, ServiceTable>>;
  readonly secondNode: http.Agent;
  readonly #places: Places;
  readonly #stopped = new Set<number>();

  constructor(name: string) {
    this.#places = new Places(name);
    this.tables = { 1: new ServiceTable(this.#places, 1), 2: new ServiceTable(this.#places, 2) };
    this.secondNode = new SecondNodeAgent();
  }

  get kubectl(): string {
    return join(this.#state().binaries, "kubectl");
  }

  /** The Node.js process of a pod, as this machine numbers it. */
  async pidOf(pod: string): Promise<number> {
    for (const pid of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
      const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
      if (environment.split("\0").includes(`POD_NAME=${pod}`)) return Number(pid);
    }
    throw new Error(`no process of pod ${pod}`);
  }

  /** The ends of the logs of a namespace's containers. */
  async lastWords(namespace: string): Promise<string> {
    const files = await readdir(join(this.#places.logs, "pods"), { recursive: true }).catch(() => []);
    const logs = files.filter((file) => file.startsWith(`${namespace}_`) && file.endsWith(".log"));
    const ends = logs.map(async (file) => {
      const text = await readFile(join(this.#places.logs, "pods", file), "utf8").catch(() => "");
      return `${file}: ${text.trimEnd().split("\n").slice(-5).join("\n")}`;
    });
    return (await Promise.all(ends)).join("\n");
  }

  pauseServiceProxy(node: 1 | 2): { continue(): void } {
    return this.#pause(this.#state().kubeProxies[node]);
  }

  pauseApiServer(): { continue(): void } {
    return this.#pause(this.#state().apiServer);
  }

  async audit(): Promise<AuditEntry[]> {
    const text = await readFile(join(this.#places.logs, "audit.log"), "utf8");
    return text
      .trimEnd()
      .split("\n")
      .map((line) => entryOf(JSON.parse(line)));
  }

  close(): void {
    this.secondNode.destroy();
    for (const pid of this.#stopped) process.kill(pid, "SIGCONT");
  }

  #state() {
    const state = stateOf(this.#places.name);
    if (state === undefined) throw new Error(`the cluster ${this.#places.name} does not run`);
    return state;
  }

  #pause(pid: number): { continue(): void } {
    process.kill(pid, "SIGSTOP");
    this.#stopped.add(pid);
    return {
      continue: () => {
        if (this.#stopped.delete(pid)) process.kill(pid, "SIGCONT");
      },
    };
  }
}

/** Dials through the relay that runs on the second node. */
class SecondNodeAgent extends http.Agent {
  override createConnection(options: http.ClientRequestArgs) {
    const socket = connect({ host: addresses.node[2], port: addresses.relayPort });
    socket.write(`${options.host}:${options.port}\n`);
    return socket;
  }
}

interface AuditLine {
  verb: string;
  user: { username: string };
  objectRef?: { resource?: string; subresource?: string; namespace?: string; name?: string };
  responseStatus?: { code?: number };
}

function entryOf({ verb, user, objectRef = {}, responseStatus }: AuditLine): AuditEntry {
  const { resource = "", subresource, namespace = "", name = "" } = objectRef;
  return {
    verb,
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    namespace,
    name,
    user: user.username,
    code: responseStatus?.code ?? 0,
  };
}

/** Removes every app and ElastiService, while the operator still runs: apps first, because it wakes what it is to let go. */
async function empty(client: KubeClient): Promise<void> {
  const wanted = [resources.deployments, resources.services, resources.elastiServices] as const;
  for (const resource of wanted) {
    const { items } = await client.list(resource).catch(() => ({ items: [] as KubeObject[] }));
    for (const { metadata } of items) {
      const ours = metadata.namespace === "default" || resource === resources.elastiServices;
      if (!ours || (resource === resources.services && metadata.name === "kubernetes")) continue;
      await client.delete(resource, metadata.namespace, metadata.name).catch(ignoreGone);
    }
    if (resource === resources.elastiServices) await gone(client, resource);
  }
  await gone(client, resources.pods);
}

async function gone(client: KubeClient, resource: Resource): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { items } = await client.list<KubeObject | Pod>(resource, { namespace: "default" });
    if (items.length === 0) return;
    await pause(200);
  }
  // nobody is left to do it: an operator that a test took away
  const { items } = await client.list(resource, { namespace: "default" });
  for (const { metadata } of items)
    await client
      .patch(resource, metadata.namespace, metadata.name, "merge", { metadata: { finalizers: null } })
      .catch(ignoreGone);
}

function ignoreGone(error: unknown): void {
  if (!isNotFound(error) && !isAlreadyExists(error)) throw error;
}
