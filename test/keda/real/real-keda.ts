import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { KedaTools } from "../../cluster/binaries.ts";
import { stateOf } from "../../cluster/cluster.ts";
import { addresses, Places } from "../../cluster/places.ts";
import { run } from "../../cluster/shell.ts";
import { request } from "../../e2e/client.ts";

/** How a process inside of a cluster learns where KEDA is. */
export const kedaEnvironment = ({ version, operator, module }: KedaTools) => ({
  ELASTI_TEST_KEDA_VERSION: version,
  ELASTI_TEST_KEDA_OPERATOR: operator,
  ELASTI_TEST_KEDA_MODULE: module,
});

/** Of KEDA's process, on the first node's loopback, where nobody else listens. */
const address = "127.0.0.77";
const ports = { probes: 8081, metrics: 9666 };
const namespace = "keda";

/**
 * KEDA's operator as a process of the first node, under the account and the roles of its own manifests. Without its metrics server
 * (its HPAs hold their bounds and see no metric) and without its admission webhooks (nothing is refused that they would refuse).
 */
export class RealKeda {
  /** By which the API server's audit log knows it. */
  readonly user = `system:serviceaccount:${namespace}:keda-operator`;
  readonly version: string;
  readonly places: Places;
  readonly #operator: string;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  private constructor(tools: KedaTools, places: Places) {
    this.version = tools.version;
    this.places = places;
    this.#operator = tools.operator;
    this.#folder = join(places.folder, "keda");
  }

  /** Installs its definitions, roles and account in the cluster that this process is inside of, and starts it. */
  static async start(): Promise<RealKeda> {
    const {
      ELASTI_TEST_NODE: node = "",
      ELASTI_TEST_KEDA_VERSION: version = "",
      ELASTI_TEST_KEDA_OPERATOR: operator = "",
      ELASTI_TEST_KEDA_MODULE: module = "",
    } = process.env;
    if (operator === "") throw new Error("started without KEDA: run `npm run test:keda`");
    const keda = new RealKeda({ version, operator, module }, new Places(node));
    await keda.#install(module);
    await keda.#writeCredentials();
    await keda.#run();
    return keda;
  }

  /** Ends it by the signal that Kubernetes sends, and starts it anew. */
  async restart(): Promise<void> {
    await this.close();
    await this.#run();
  }

  async close(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (running === undefined || running.exitCode !== null) return;
    const ended = once(running, "exit");
    running.kill("SIGTERM");
    await ended;
  }

  async #kubectl(...args: string[]): Promise<string> {
    const state = stateOf(this.places.name);
    if (state === undefined) throw new Error(`the cluster ${this.places.name} does not run`);
    return await run(join(state.binaries, "kubectl"), "--kubeconfig", this.places.kubeconfig, ...args);
  }

  async #install(module: string): Promise<void> {
    const config = join(module, "config");
    const files = [
      "crd/bases",
      "general/namespace.yaml",
      "service_account/service_account.yaml",
      "rbac/role.yaml",
      "rbac/role_binding.yaml",
    ];
    for (const file of files) await this.#kubectl("apply", "--server-side", "-f", join(config, file));
    // as releases and the chart label it
    const label = `app.kubernetes.io/version=${this.version}`;
    await this.#kubectl("label", "--overwrite", "customresourcedefinition/scaledobjects.keda.sh", label);
    await this.#kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=30s");
  }

  async #writeCredentials(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    // its metrics server would be asked for a certificate of the same authority: any will do where there is none
    const certificates = join(this.places.folder, "certificates");
    for (const to of ["ca.crt", "tls.crt"]) await copyFile(join(certificates, "apiserver.crt"), join(this.#folder, to));
    await copyFile(join(certificates, "apiserver.key"), join(this.#folder, "tls.key"));
    const token = await this.#kubectl("create", "token", "keda-operator", "--namespace", namespace, "--duration=8h");
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        {
          name: "elasti",
          cluster: {
            server: `https://${addresses.node[1]}:${addresses.apiPort}`,
            "certificate-authority": join(certificates, "apiserver.crt"),
          },
        },
      ],
      users: [{ name: "keda", user: { token: token.trim() } }],
      contexts: [{ name: "elasti", context: { cluster: "elasti", user: "keda" } }],
      "current-context": "elasti",
    };
    await writeFile(join(this.#folder, "kubeconfig"), JSON.stringify(config), { mode: 0o600 });
  }

  /** Resolves when it says that it is ready. */
  async #run(): Promise<void> {
    const log = openSync(join(this.places.logs, "keda.log"), "a");
    const args = [
      "--kubeconfig",
      join(this.#folder, "kubeconfig"),
      "--cert-dir",
      this.#folder,
      "--zap-log-level=debug",
      "--zap-encoder=console",
      "--enable-prometheus-metrics=false",
      `--health-probe-bind-address=${address}:${ports.probes}`,
      `--metrics-service-bind-address=${address}:${ports.metrics}`,
    ];
    const env = {
      ...process.env,
      WATCH_NAMESPACE: "",
      POD_NAMESPACE: namespace,
      KEDA_CLUSTER_OBJECT_NAMESPACE: namespace,
    };
    const child = spawn(this.#operator, args, { env, stdio: ["ignore", log, log] });
    this.#process = child;
    const until = Date.now() + 60_000;
    for (;;) {
      const asked = request({ host: address, port: ports.probes, path: "/readyz", timeoutMs: 1_000 });
      const { status } = await asked.catch(() => ({ status: 0 }));
      if (status === 200) return;
      if (child.exitCode !== null || Date.now() > until)
        throw new Error(
          `KEDA's operator is not ready: ${await run("tail", "-n5", join(this.places.logs, "keda.log"))}`,
        );
      await pause(50);
    }
  }
}
