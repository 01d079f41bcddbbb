import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Binaries } from "./binaries.ts";
import type { ControlPlane } from "./control-plane.ts";
import { ensureImages, images } from "./images.ts";
import { writePodNetwork } from "./network.ts";
import { addresses } from "./places.ts";
import { cniFolder } from "./requirements.ts";
import { type Sandbox, waitFor } from "./sandbox.ts";

/** The node that runs pods: containerd, kubelet, kube-proxy. */
export class Node {
  readonly #sandbox: Sandbox;
  readonly #binaries: Binaries;
  readonly #controlPlane: ControlPlane;

  constructor(sandbox: Sandbox, binaries: Binaries, controlPlane: ControlPlane) {
    this.#sandbox = sandbox;
    this.#binaries = binaries;
    this.#controlPlane = controlPlane;
  }

  get #socket(): string {
    return "/run/containerd.sock";
  }

  /** Starts the container runtime, which needs nothing of the control plane, and brings the images in. */
  async startRuntime(): Promise<void> {
    const { places } = this.#sandbox;
    const cni = join(places.folder, "cni");
    await mkdir(cni, { recursive: true });
    await writePodNetwork(cni, places.data);
    const config = join(places.folder, "containerd.toml");
    await writeFile(
      config,
      [
        "version = 2",
        `root = "${places.data}/containerd"`,
        'state = "/run/containerd-state"',
        'disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]',
        "[grpc]",
        `address = "${this.#socket}"`,
        '[plugins."io.containerd.grpc.v1.cri"]',
        `sandbox_image = "${images.pause}"`,
        "restrict_oom_score_adj = true",
        "disable_apparmor = true",
        '[plugins."io.containerd.grpc.v1.cri".containerd]',
        'snapshotter = "overlayfs"',
        '[plugins."io.containerd.grpc.v1.cri".cni]',
        `bin_dir = "${cniFolder()}"`,
        `conf_dir = "${cni}"`,
      ].join("\n"),
    );
    const archive = ensureImages();
    await this.#sandbox.start("containerd", "containerd", ["--config", config]);
    const log = join(places.logs, "containerd.log");
    const ctr = (...args: string[]) => this.#sandbox.run("ctr", "--address", this.#socket, "-n", "k8s.io", ...args);
    await waitFor(async () => (await ctr("version").catch(() => undefined)) !== undefined, 10_000, log);
    await ctr("image", "import", "--digests", await archive);
  }

  async startKubelet(): Promise<void> {
    const { places } = this.#sandbox;
    const config = join(places.folder, "kubelet.json");
    const settings = {
      apiVersion: "kubelet.config.k8s.io/v1beta1",
      kind: "KubeletConfiguration",
      address: addresses.node[1],
      authentication: {
        anonymous: { enabled: false },
        webhook: { enabled: true },
        x509: { clientCAFile: this.#controlPlane.kubeletClient },
      },
      authorization: { mode: "Webhook" },
      failCgroupV1: false,
      cgroupDriver: "cgroupfs",
      cgroupRoot: `/${places.cgroup}`,
      cgroupsPerQOS: false,
      enforceNodeAllocatable: [],
      localStorageCapacityIsolation: false,
      failSwapOn: false,
      containerRuntimeEndpoint: `unix://${this.#socket}`,
      podLogsDir: `${places.logs}/pods`,
      // what the cluster's own DNS does not know is not known
      resolvConf: "",
      clusterDNS: [addresses.node[1]],
      clusterDomain: addresses.domain,
      evictionHard: { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%" },
      imageGCHighThresholdPercent: 100,
      registerWithTaints: [],
      serializeImagePulls: false,
      // a node that starts and stops a hundred pods in a test is not to be slowed by its own client's limits
      kubeAPIQPS: 1000,
      kubeAPIBurst: 1000,
      maxPods: 250,
      maxParallelImagePulls: 5,
    };
    await writeFile(config, JSON.stringify(settings, undefined, 2));
    await this.#sandbox.start("kubelet", this.#binaries.path("kubelet"), [
      `--config=${config}`,
      `--kubeconfig=${this.#controlPlane.kubeconfig("system:node:node-1")}`,
      "--hostname-override=node-1",
      `--node-ip=${addresses.node[1]}`,
      `--root-dir=${places.data}/kubelet`,
      `--cert-dir=${places.data}/kubelet-certificates`,
    ]);
  }

  /** @returns the process to stop and continue, by which a node sees changes of Services late */
  async startServiceProxy(node: 1 | 2): Promise<number> {
    const { places } = this.#sandbox;
    const config = join(places.folder, `kube-proxy-${node}.json`);
    const settings = {
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      mode: "nftables",
      clientConnection: { kubeconfig: this.#controlPlane.kubeconfig("system:kube-proxy") },
      hostnameOverride: `node-${node}`,
      bindAddress: addresses.node[node],
      clusterCIDR: addresses.pods,
      conntrack: { maxPerCore: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
      healthzBindAddress: `${addresses.node[node]}:10256`,
      metricsBindAddress: `${addresses.node[node]}:10249`,
    };
    await writeFile(config, JSON.stringify(settings, undefined, 2));
    return await this.#sandbox.start(
      `kube-proxy-${node}`,
      this.#binaries.path("kube-proxy"),
      [`--config=${config}`],
      node,
    );
  }
}
