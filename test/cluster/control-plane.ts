import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Binaries } from "./binaries.ts";
import { addresses, type Places } from "./places.ts";
import { ready } from "./ready.ts";
import { type Sandbox, waitFor } from "./sandbox.ts";
import { run } from "./shell.ts";

/** Users of the cluster's own programs: each has a token of its own. */
const users = {
  admin: "system:masters",
  "system:kube-controller-manager": "",
  "system:kube-scheduler": "",
  "system:kube-proxy": "",
  "system:node:node-1": "system:nodes",
} as const;

export type User = keyof typeof users;

/** The audit log has every call of accounts of these namespaces, those on Leases and Events too. */
export const auditedNamespaces = ["elasti-audited", "elasti-audited-2", "elasti-installed", "elasti-policies"] as const;

const etcdPort = 2379;

/** etcd, API server, controller manager and scheduler, each a process of the first node. */
export class ControlPlane {
  readonly #sandbox: Sandbox;
  readonly #binaries: Binaries;
  readonly #places: Places;

  constructor(sandbox: Sandbox, binaries: Binaries) {
    this.#sandbox = sandbox;
    this.#binaries = binaries;
    this.#places = sandbox.places;
  }

  get #certificates(): string {
    return join(this.#places.folder, "certificates");
  }

  /** Certificate that this server shows to kubelets, signed by itself. */
  get kubeletClient(): string {
    return join(this.#certificates, "kubelet-client.crt");
  }

  kubeconfig(user: User): string {
    return user === "admin"
      ? this.#places.kubeconfig
      : join(this.#places.folder, `${user.replaceAll(":", "-")}.kubeconfig`);
  }

  /** Resolves once the API server answers. */
  async start(): Promise<{ etcd: number; apiServer: number }> {
    await this.#writeCredentials();
    const etcd = await this.startEtcd();
    const apiServer = await this.startApiServer();
    await this.apiReady();
    // its own certificate: what clients trust
    const ca = await readFile(join(this.#certificates, "apiserver.crt"));
    for (const user of Object.keys(users) as User[]) await this.#writeKubeconfig(user, ca);
    await this.#component("kube-controller-manager", [
      `--kubeconfig=${this.kubeconfig("system:kube-controller-manager")}`,
      `--root-ca-file=${join(this.#certificates, "apiserver.crt")}`,
      `--service-account-private-key-file=${join(this.#certificates, "accounts.key")}`,
      "--use-service-account-credentials",
      "--leader-elect=false",
      `--cluster-cidr=${addresses.pods}`,
      "--allocate-node-cidrs=false",
      // a quota's use and a namespace's end are not waited for
      "--concurrent-deployment-syncs=10",
      "--concurrent-namespace-syncs=20",
    ]);
    await this.#component("kube-scheduler", [
      `--kubeconfig=${this.kubeconfig("system:kube-scheduler")}`,
      "--leader-elect=false",
    ]);
    return { etcd, apiServer };
  }

  startEtcd(): Promise<number> {
    const url = `http://127.0.0.1:${etcdPort}`;
    return this.#sandbox.start("etcd", this.#binaries.path("etcd"), [
      `--data-dir=${this.#places.data}/etcd`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      "--listen-peer-urls=http://127.0.0.1:2380",
      "--unsafe-no-fsync",
      "--log-level=warn",
    ]);
  }

  startApiServer(): Promise<number> {
    const accounts = join(this.#certificates, "accounts.key");
    const front = join(this.#certificates, "front-proxy");
    return this.#component("kube-apiserver", [
      `--etcd-servers=http://127.0.0.1:${etcdPort}`,
      `--cert-dir=${this.#certificates}`,
      `--advertise-address=${addresses.node[1]}`,
      `--bind-address=${addresses.node[1]}`,
      `--secure-port=${addresses.apiPort}`,
      `--service-cluster-ip-range=${addresses.services}`,
      `--token-auth-file=${join(this.#places.folder, "tokens.csv")}`,
      "--authorization-mode=Node,RBAC",
      "--enable-admission-plugins=NodeRestriction",
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-signing-key-file=${accounts}`,
      `--service-account-key-file=${join(this.#certificates, "accounts.pub")}`,
      "--api-audiences=https://kubernetes.default.svc",
      `--audit-policy-file=${join(this.#places.folder, "audit-policy.json")}`,
      `--audit-log-path=${join(this.#places.logs, "audit.log")}`,
      "--allow-privileged",
      // for logs, exec and attach: as the kubelet is found, and as whom it knows this server
      "--kubelet-preferred-address-types=InternalIP",
      `--kubelet-client-certificate=${this.kubeletClient}`,
      `--kubelet-client-key=${join(this.#certificates, "kubelet-client.key")}`,
      "--endpoint-reconciler-type=master-count",
      // as whom it passes on what others serve in its place, as metrics-server does
      `--proxy-client-cert-file=${front}.crt`,
      `--proxy-client-key-file=${front}.key`,
      `--requestheader-client-ca-file=${front}.crt`,
      "--requestheader-username-headers=X-Remote-User",
      "--requestheader-group-headers=X-Remote-Group",
      "--requestheader-extra-headers-prefix=X-Remote-Extra-",
      // tests of one user's many requests are not about the fairness of the server
      "--max-requests-inflight=1000",
      "--max-mutating-requests-inflight=1000",
    ]);
  }

  async apiReady(): Promise<void> {
    await waitFor(() => ready(this.#places), 30_000, join(this.#places.logs, "kube-apiserver.log"));
  }

  #component(name: `kube-${string}`, args: string[]): Promise<number> {
    return this.#sandbox.start(name, this.#binaries.path(name), args);
  }

  async #writeCredentials(): Promise<void> {
    const folder = this.#certificates;
    await run("mkdir", "-p", folder);
    const pair = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    await writeFile(join(folder, "accounts.key"), pair.privateKey, { mode: 0o600 });
    await writeFile(join(folder, "accounts.pub"), pair.publicKey);
    const clients = { "kubelet-client": "/O=system:masters/CN=kube-apiserver", "front-proxy": "/CN=front-proxy" };
    for (const [name, subject] of Object.entries(clients)) {
      await run(
        "openssl",
        ...["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ...["-keyout", join(folder, `${name}.key`), "-out", join(folder, `${name}.crt`)],
        ...["-subj", subject, "-addext", "extendedKeyUsage=clientAuth"],
      );
    }
    const lines = Object.entries(users).map(([user, group]) => {
      const token = randomBytes(16).toString("hex");
      this.#tokens.set(user as User, token);
      return `${token},${user},${user}${group === "" ? "" : `,${group}`}`;
    });
    await writeFile(join(this.#places.folder, "tokens.csv"), `${lines.join("\n")}\n`, { mode: 0o600 });
    const policy = {
      apiVersion: "audit.k8s.io/v1",
      kind: "Policy",
      omitStages: ["RequestReceived"],
      rules: [
        // what an installation by the chart does is compared with what it may do, to the last call
        { level: "Metadata", userGroups: auditedNamespaces.map((name) => `system:serviceaccounts:${name}`) },
        { level: "None", resources: [{ group: "coordination.k8s.io" }, { group: "", resources: ["events"] }] },
        { level: "None", users: ["system:apiserver"] },
        { level: "Metadata" },
      ],
    };
    await writeFile(join(this.#places.folder, "audit-policy.json"), JSON.stringify(policy));
  }

  readonly #tokens = new Map<User, string>();

  async #writeKubeconfig(user: User, certificate: Buffer): Promise<void> {
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        {
          name: "elasti",
          cluster: {
            server: `https://${addresses.node[1]}:${addresses.apiPort}`,
            "certificate-authority-data": certificate.toString("base64"),
          },
        },
      ],
      users: [{ name: user, user: { token: this.#tokens.get(user) } }],
      contexts: [{ name: "elasti", context: { cluster: "elasti", user } }],
      "current-context": "elasti",
    };
    await writeFile(this.kubeconfig(user), JSON.stringify(config, undefined, 2), { mode: 0o600 });
  }
}
