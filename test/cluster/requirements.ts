import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Something that the machine lacks, with the command that brings it. */
export class Missing extends Error {
  override readonly name = "Missing";
}

const debian: Readonly<Record<string, string>> = {
  containerd: "containerd",
  runc: "runc",
  nft: "nftables",
  conntrack: "conntrack",
  ip: "iproute2",
  mount: "mount",
  unshare: "util-linux",
  openssl: "openssl",
};
const cniFolders = ["/usr/lib/cni", "/opt/cni/bin"];

/** The folder of a program, or undefined. */
export function which(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/go/bin", "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

export function cniFolder(): string {
  const found = cniFolders.find((folder) => existsSync(join(folder, "bridge")));
  if (found === undefined) throw missingPackages(["containernetworking-plugins"]);
  return found;
}

function missingPackages(packages: readonly string[]): Missing {
  return new Missing(`the cluster needs ${packages.join(", ")}: apt-get install -y ${packages.join(" ")}`);
}

/** @throws Missing: one line that says what is missing and the command that mends it */
export function checkMachine(): void {
  if (process.platform !== "linux")
    throw new Missing(
      "the cluster runs on Linux only: use kind or k3d there, and give its kubeconfig in ELASTI_TEST_KUBECONFIG",
    );
  if (process.getuid?.() !== 0)
    throw new Missing("the cluster needs root for network namespaces and containers: run this with sudo");
  const packages = Object.entries(debian)
    .filter(([program]) => which(program) === undefined)
    .map(([, name]) => name);
  if (!cniFolders.some((folder) => existsSync(join(folder, "bridge")))) packages.push("containernetworking-plugins");
  if (packages.length > 0) throw missingPackages([...new Set(packages)]);
}

/** The Go compiler. @throws Missing */
export function goProgram(): string {
  const go = which("go");
  if (go === undefined)
    throw new Missing(
      "Kubernetes is built from source by Go 1.26 or newer: install it from your distribution or https://go.dev/dl",
    );
  return go;
}
