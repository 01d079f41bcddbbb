import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cacheFolder, repository } from "./places.ts";
import { which } from "./requirements.ts";
import { run } from "./shell.ts";

/** Names under which pods find the images; there is no registry behind them. */
export const images = {
  /** Holds a pod's network open. */
  pause: "elasti.test/pause:1",
  /** Node.js and the sample app; processes of Elasti too, whose sources are mounted from the repository. */
  node: "elasti.test/node:1",
} as const;

const sampleApp = join(repository, "packages", "local", "sample-app", "app.mjs");

interface Layout {
  /** Path in the image -> file of this machine. */
  readonly files: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

/**
 * An archive of all images (OCI image layout), built of this machine's own files; kept in the cache by their content.
 * @returns its path
 */
export async function ensureImages(): Promise<string> {
  const node = await realpath(process.execPath);
  const sleep = which("sleep") ?? "/bin/sleep";
  const layouts: Record<string, Layout> = {
    [images.pause]: { files: withLibraries({ "/bin/sleep": sleep }), command: ["/bin/sleep", "infinity"] },
    [images.node]: {
      files: withLibraries({ "/usr/local/bin/node": node, "/bin/sleep": sleep, "/app/app.mjs": sampleApp }),
      command: ["/usr/local/bin/node", "/app/app.mjs"],
    },
  };
  const key = createHash("sha256")
    .update(JSON.stringify(layouts))
    .update(process.version)
    .update(await readFile(sampleApp));
  const archive = join(cacheFolder(), `images-${key.digest("hex").slice(0, 12)}.tar`);
  if (existsSync(archive)) return archive;
  await mkdir(cacheFolder(), { recursive: true });
  // of its own for each: clusters that come up side by side make it at the same time, and the last one stays
  const work = await mkdtemp(`${archive}.`);
  try {
    await mkdir(join(work, "layout", "blobs", "sha256"), { recursive: true });
    const manifests = [];
    for (const [name, layout] of Object.entries(layouts)) manifests.push(await image(work, name, layout));
    await writeFile(join(work, "layout", "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    await writeFile(join(work, "layout", "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
    await run("tar", "-C", join(work, "layout"), "-cf", join(work, "archive"), ".");
    await rename(join(work, "archive"), archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return archive;
}

async function image(work: string, name: string, { files, command }: Layout): Promise<object> {
  const root = join(work, "root");
  await rm(root, { recursive: true, force: true });
  await mkdir(join(root, "tmp"), { recursive: true, mode: 0o1777 });
  for (const [path, source] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await copyFile(source, join(root, path));
  }
  await mkdir(join(root, "etc"), { recursive: true });
  await writeFile(join(root, "etc", "passwd"), "root:x:0:0:root:/:/\nnobody:x:65534:65534:nobody:/:/\n");
  const tar = join(work, "layer.tar");
  await run(
    "tar",
    "-C",
    root,
    "--numeric-owner",
    "--owner=0",
    "--group=0",
    "--sort=name",
    "--mtime=@0",
    "-cf",
    tar,
    ".",
  );
  const layer = await readFile(tar);
  const layerBlob = await blob(work, layer, "application/vnd.oci.image.layer.v1.tar");
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const config = {
    architecture,
    os: "linux",
    config: { Cmd: command, Env: ["PATH=/usr/local/bin:/usr/bin:/bin"] },
    rootfs: { type: "layers", diff_ids: [layerBlob.digest] },
  };
  const configBlob = await blob(work, Buffer.from(JSON.stringify(config)), "application/vnd.oci.image.config.v1+json");
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = { schemaVersion: 2, mediaType, config: configBlob, layers: [layerBlob] };
  const described = await blob(work, Buffer.from(JSON.stringify(manifest)), mediaType);
  return { ...described, annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name } };
}

async function blob(work: string, content: Buffer, mediaType: string) {
  const digest = createHash("sha256").update(content).digest("hex");
  await writeFile(join(work, "layout", "blobs", "sha256", digest), content);
  return { mediaType, digest: `sha256:${digest}`, size: content.length };
}

/** The programs with the shared libraries and the loader that they need, each at its own path. */
function withLibraries(files: Readonly<Record<string, string>>): Record<string, string> {
  const all: Record<string, string> = { ...files };
  for (const program of Object.values(files)) {
    if (program.endsWith(".mjs")) continue;
    const said = execFileSync("ldd", [program], { encoding: "utf8" });
    for (const [, library] of said.matchAll(/(\/\S+) \(0x/g)) if (library !== undefined) all[library] = library;
  }
  return all;
}
