import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type EndpointSlice, type KubeClient, type Pod, resources } from "@elasti/kube";
import type { MetricsServerTools } from "../../cluster/binaries.ts";
import { stateOf } from "../../cluster/cluster.ts";
import { addresses, Places } from "../../cluster/places.ts";
import { run } from "../../cluster/shell.ts";

/** How a process inside of a cluster learns where metrics-server is. */
export const metricsServerEnvironment = ({ program, module }: MetricsServerTools) => ({
  ELASTI_TEST_METRICS_SERVER: program,
  ELASTI_TEST_METRICS_SERVER_MODULE: module,
});

const name = "metrics-server";
const namespace = "kube-system";
const port = 4443;
interface PodMetricsList {
  readonly items: readonly { readonly metadata: { readonly name: string }; readonly timestamp: string }[];
}

/** What is asked of a server that has begun. */
const api = "/apis/metrics.k8s.io/v1beta1";
const startMs = 30_000;

/**
 * The real metrics-server as a process of the first node, under the account and the roles of its own manifests, registered with the
 * API server as there. It asks the kubelet every ten seconds, the least that it allows.
 */
export class MetricsServer {
  readonly #client: KubeClient;
  readonly #program: string;
  readonly #places: Places;
  #process: ChildProcess | undefined;

  private constructor(client: KubeClient, program: string, places: Places) {
    this.#client = client;
    this.#program = program;
    this.#places = places;
  }

  /** Installs it in the cluster that this process is inside of. Resolves once the API server passes on to it. */
  static async start(client: KubeClient): Promise<MetricsServer> {
    const { ELASTI_TEST_NODE: node = "", ELASTI_TEST_METRICS_SERVER: program = "" } = process.env;
    const { ELASTI_TEST_METRICS_SERVER_MODULE: module = "" } = process.env;
    if (program === "") throw new Error("started without metrics-server: run `npm run test:metrics`");
    const server = new MetricsServer(client, program, new Places(node));
    const manifest = (file: string) => join(module, "manifests", "base", file);
    for (const file of ["rbac.yaml", "service.yaml", "apiservice.yaml"])
      await server.#kubectl("apply", "--server-side", "-f", manifest(file));
    await server.#writeCredentials();
    await server.begin();
    return server;
  }

  /** Starts the process, and what leads to it. */
  async begin(): Promise<void> {
    const log = join(this.#places.logs, `${name}.log`);
    const output = openSync(log, "a");
    const kubeconfig = join(this.#folder, "kubeconfig");
    const args = [
      `--kubeconfig=${kubeconfig}`,
      `--authentication-kubeconfig=${kubeconfig}`,
      `--authorization-kubeconfig=${kubeconfig}`,
      `--cert-dir=${this.#folder}`,
      `--bind-address=${addresses.node[1]}`,
      `--secure-port=${port}`,
      "--metric-resolution=10s",
      "--kubelet-request-timeout=5s",
      "--kubelet-preferred-address-types=InternalIP",
      "--kubelet-use-node-status-port",
      // kubelets sign for themselves here
      "--kubelet-insecure-tls",
    ];
    const child = spawn(this.#program, args, { stdio: ["ignore", output, output] });
    this.#process = child;
    await this.#client.create<EndpointSlice>(resources.endpointSlices, slice);
    const until = Date.now() + startMs;
    for (;;) {
      const said = await this.#client.raw("GET", api).catch((error: unknown) => error);
      if (!(said instanceof Error)) return;
      if (child.exitCode !== null || Date.now() > until)
        throw new Error(`metrics-server does not answer: ${await run("tail", "-n5", log)}`, { cause: said });
      await pause(50);
    }
  }

  /** Resolves just after it has looked again at every pod of `default` that runs now, and can say what it uses. */
  async rounds(): Promise<void> {
    const since = Date.now();
    const { items: pods } = await this.#client.list<Pod>(resources.pods, { namespace: "default" });
    const running = pods.filter(({ status }) => status?.phase === "Running").map(({ metadata }) => metadata.name);
    const signal = AbortSignal.timeout(60_000);
    for (;;) {
      const { items } = await this.#client.raw<PodMetricsList>("GET", `${api}/namespaces/default/pods`);
      const fresh = items.filter(({ timestamp }) => Date.parse(timestamp) > since).map(({ metadata }) => metadata.name);
      if (running.every((pod) => fresh.includes(pod))) return;
      signal.throwIfAborted();
      await pause(100);
    }
  }

  /** Ends the process as a pod of it ends: nothing leads there any more. Idempotent. */
  async end(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (running === undefined) return;
    await this.#client.delete(resources.endpointSlices, namespace, slice.metadata.name);
    if (running.exitCode !== null) return;
    const ended = once(running, "exit");
    running.kill("SIGTERM");
    await ended;
  }

  /** Ends it, and takes it out of the API. */
  async close(): Promise<void> {
    await this.end();
    await this.#kubectl("delete", "apiservice", "v1beta1.metrics.k8s.io");
  }

  get #folder(): string {
    return join(this.#places.folder, name);
  }

  async #kubectl(...args: string[]): Promise<string> {
    const state = stateOf(this.#places.name);
    if (state === undefined) throw new Error(`the cluster ${this.#places.name} does not run`);
    return await run(join(state.binaries, "kubectl"), "--kubeconfig", this.#places.kubeconfig, ...args);
  }

  async #writeCredentials(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const token = await this.#kubectl("create", "token", name, "--namespace", namespace, "--duration=8h");
    const server = `https://${addresses.node[1]}:${addresses.apiPort}`;
    const authority = join(this.#places.folder, "certificates", "apiserver.crt");
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "elasti", cluster: { server, "certificate-authority": authority } }],
      users: [{ name, user: { token: token.trim() } }],
      contexts: [{ name: "elasti", context: { cluster: "elasti", user: name } }],
      "current-context": "elasti",
    };
    await writeFile(join(this.#folder, "kubeconfig"), JSON.stringify(config), { mode: 0o600 });
  }
}

const slice: EndpointSlice & { metadata: { name: string } } = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name, namespace, labels: { "kubernetes.io/service-name": name } },
  addressType: "IPv4",
  ports: [{ name: "https", port, protocol: "TCP" }],
  endpoints: [{ addresses: [addresses.node[1]], conditions: { ready: true } }],
};
