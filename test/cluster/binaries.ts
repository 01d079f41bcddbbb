import { join } from "node:path";
import { ensureGoTools } from "./go-tools.ts";
import { goProgram } from "./requirements.ts";
import { run } from "./shell.ts";

/** Versions that Elasti is tested on; the folder has the go.mod that names all of its programs as tools. */
export const versions = {
  newest: { folder: "kubernetes", version: "1.36.3" },
  oldest: { folder: "kubernetes-oldest", version: "1.34.4" },
} as const;

export type Which = keyof typeof versions;

/** Programs of a whole Kubernetes, each by the path of its binary. */
export class Binaries {
  readonly folder: string;
  readonly version: string;

  constructor(folder: string, version: string) {
    this.folder = folder;
    this.version = version;
  }

  /** etcd's module calls its program `server`. */
  path(program: "etcd" | `kube-${string}` | "kubelet" | "kubectl"): string {
    return join(this.folder, program === "etcd" ? "server" : program);
  }
}

/** The programs of a version, built where the cache has none: 5 minutes and 2 GB of memory for the first time. */
export async function ensureBinaries(which: Which, say: (line: string) => void): Promise<Binaries> {
  const { folder, version } = versions[which];
  const [major = "", minor = ""] = version.split(".");
  const component = "k8s.io/component-base/version";
  const variables = {
    [`${component}.gitVersion`]: `v${version}`,
    [`${component}.gitMajor`]: major,
    [`${component}.gitMinor`]: minor,
  };
  const about = { name: "Kubernetes", version, folder, variables, cost: "five minutes" };
  return new Binaries(await ensureGoTools(about, say), version);
}

const helmVersion = "3.22.0";

/** The real helm, built where the cache has none. @returns its path */
export async function ensureHelm(say: (line: string) => void): Promise<string> {
  // what `helm template` and `helm lint` take the cluster to be when there is none
  const [major = "", minor = ""] = versions.newest.version.split(".");
  const home = "helm.sh/helm/v3";
  const variables = {
    [`${home}/internal/version.version`]: `v${helmVersion}`,
    [`${home}/pkg/chartutil.k8sVersionMajor`]: major,
    [`${home}/pkg/chartutil.k8sVersionMinor`]: minor,
    [`${home}/pkg/lint/rules.k8sVersionMajor`]: major,
    [`${home}/pkg/lint/rules.k8sVersionMinor`]: minor,
  };
  const about = { name: "Helm", version: helmVersion, folder: "helm", variables, cost: "a minute" };
  return join(await ensureGoTools(about, say), "helm");
}

const kedaVersion = "2.21.0";

export interface KedaTools {
  readonly version: string;
  /** Path of its operator. */
  readonly operator: string;
  /** Its module as published, with the manifests of `config/`. */
  readonly module: string;
}

/** KEDA's real operator, built where the cache has none. Only `npm run verify:full` wants it. */
export async function ensureKeda(say: (line: string) => void): Promise<KedaTools> {
  const module = "github.com/kedacore/keda/v2";
  const variables = { [`${module}/version.Version`]: kedaVersion };
  const about = { name: "KEDA", version: kedaVersion, folder: "keda", variables, cost: "five minutes" };
  const operator = join(await ensureGoTools(about, say), "operator");
  return { version: kedaVersion, operator, module: await moduleFolder("keda", module) };
}

const metricsServerVersion = "0.9.0";
const metricsServerModule = "sigs.k8s.io/metrics-server";

export interface MetricsServerTools {
  /** Path of the program. */
  readonly program: string;
  /** Its module as published, with the manifests of `manifests/base`. */
  readonly module: string;
}

/** The real metrics-server, built where the cache has none. */
export async function ensureMetricsServer(say: (line: string) => void): Promise<MetricsServerTools> {
  const variables = { "k8s.io/client-go/pkg/version.gitVersion": `v${metricsServerVersion}` };
  const about = {
    name: "metrics-server",
    version: metricsServerVersion,
    folder: "metrics-server",
    variables,
    cost: "two minutes",
  };
  const program = join(await ensureGoTools(about, say), "metrics-server");
  return { program, module: await moduleFolder("metrics-server", metricsServerModule) };
}

/** Where a module lies as it is published. @param folder of the go.mod that names it */
async function moduleFolder(folder: string, module: string): Promise<string> {
  const place = join(import.meta.dirname, folder);
  const { Dir } = JSON.parse(await run(goProgram(), "-C", place, "mod", "download", "-json", module)) as {
    Dir: string;
  };
  return Dir;
}

/** CoreDNS, built where the cache has none. @returns its path */
export async function ensureCoreDns(say: (line: string) => void): Promise<string> {
  const about = { name: "CoreDNS", version: "1.15.0", folder: "coredns", programs: ".", cost: "a minute" } as const;
  return join(await ensureGoTools({ ...about, variables: {} }, say), "coredns");
}
