import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "./places.ts";
import { goProgram } from "./requirements.ts";

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

/**
 * The programs of a version, built where the cache has none: 5 minutes and 2 GB of memory for the first time. The cache's key is
 * the module's own sum, so that whoever changes the module builds anew.
 */
export async function ensureBinaries(which: Which, say: (line: string) => void): Promise<Binaries> {
  const { folder, version } = versions[which];
  const module = join(import.meta.dirname, folder);
  const key = createHash("sha256")
    .update(await readFile(join(module, "go.mod")))
    .update(await readFile(join(module, "go.sum")))
    .digest("hex")
    .slice(0, 12);
  const home = join(cacheFolder(), `kubernetes-${version}-${key}`);
  const binaries = new Binaries(home, version);
  if (existsSync(join(home, "complete"))) return binaries;
  say(`building Kubernetes ${version} from source, which takes about five minutes the first time`);
  const building = `${home}.${process.pid}`;
  await mkdir(building, { recursive: true });
  try {
    const [major, minor] = version.split(".");
    const set = (name: string, value = "") => `-X k8s.io/component-base/version.${name}=${value}`;
    const flags = ["-s", "-w", set("gitVersion", `v${version}`), set("gitMajor", major), set("gitMinor", minor)];
    const child = spawn(goProgram(), ["install", "-ldflags", flags.join(" "), "tool"], {
      cwd: module,
      env: { ...process.env, CGO_ENABLED: "0", GOBIN: building, GOFLAGS: "-mod=readonly -buildvcs=false" },
      stdio: ["ignore", "inherit", "inherit"],
    });
    const [code] = (await once(child, "exit")) as [number | null];
    if (code !== 0) throw new Error(`go install ended with ${code} in ${module}`);
    await writeFile(join(building, "complete"), "");
    await rm(home, { recursive: true, force: true });
    await rename(building, home);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return binaries;
}
