import { createHash } from "node:crypto";
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { ensureBases } from "./base-images.ts";
import { stateOf } from "./cluster.ts";
import { buildah, buildFolder, lock, withStore } from "./image-builder.ts";
import { Places, repository } from "./places.ts";
import { Sandbox } from "./sandbox.ts";

/** One for each program. */
export interface ElastiImages {
  readonly resolver: string;
  readonly operator: string;
}

/** There is no registry behind it. */
const NAME = "elasti.test/elasti";
const names = ["resolver", "operator"] as const;
/** Whatever the Dockerfiles copy, they themselves, and how they are built here. */
const sources = [
  "Dockerfile.*",
  ".dockerignore",
  ".npmrc",
  "LICENSE",
  "package*.json",
  "deploy/images/**",
  "packages/*/package.json",
  "packages/{api,cli,core,kube,operator,policies,resolver,scaling}/{src,bin}/**",
  "test/cluster/{base-images,elasti-images,image-builder}.ts",
];
/** Builds that stay in the cache: one's own, and those of a few other states of the sources. */
const KEPT_BUILDS = 3;

/**
 * Brings the images of Elasti into a cluster, built from the sources as they are now by the Dockerfiles, with locally made bases.
 * Builds are kept by their content: the first takes a minute, others nothing.
 * @param cluster its name; the one that this process runs inside of where left out
 * @returns references for pods with `imagePullPolicy: Never` or `IfNotPresent`
 * @throws Missing when the machine lacks what images are built with
 */
export async function elastiImages(cluster: string = process.env.ELASTI_TEST_NODE ?? ""): Promise<ElastiImages> {
  const state = stateOf(cluster);
  if (state === undefined) throw new Error(`the cluster "${cluster}" does not run`);
  const archives = await ensureElastiArchives();
  const sandbox = new Sandbox(new Places(cluster), state.sandboxPid);
  const ctr = (...args: string[]) => sandbox.run("ctr", "--address", "/run/containerd.sock", "-n", "k8s.io", ...args);
  const there = (await ctr("image", "ls", "--quiet")).split("\n");
  for (const name of names) {
    if (!there.includes(references()[name])) await ctr("image", "import", archives[name]);
  }
  return references();
}

/** The images as files (OCI archives, layers compressed), built where the cache has none. */
export async function ensureElastiArchives(): Promise<ElastiImages> {
  const key = sourcesKey();
  const home = join(buildFolder, key);
  if (!existsSync(home)) {
    await mkdir(buildFolder, { recursive: true });
    const unlock = await lock(join(buildFolder, "lock"));
    const building = `${home}.building`;
    try {
      // unless somebody else built it meanwhile
      if (!existsSync(home)) {
        await rm(building, { recursive: true, force: true });
        await mkdir(building);
        await build(building);
        await rename(building, home);
        await prune(key);
      }
    } finally {
      await unlock();
    }
  }
  return { resolver: join(home, "resolver.tar"), operator: join(home, "operator.tar") };
}

/** Under these names the images of these sources are in a cluster. */
function references(): ElastiImages {
  const key = sourcesKey();
  return { resolver: `${NAME}-resolver:${key}`, operator: `${NAME}-operator:${key}` };
}

/** As people build them, by `npm run image`. */
async function build(folder: string): Promise<void> {
  // what a build that was broken off left behind would be in the way of the pruning below; nobody else builds in this store now
  await buildah("rm", "--all");
  const bases = Object.entries(await ensureBases()).map(([name, base]) => `--build-arg=${name}=${base}`);
  // packages that this machine has fetched before are not fetched again
  await mkdir(npmCache(), { recursive: true });
  const packages = `--volume=${npmCache()}:/npm-cache`;
  const program = join(repository, "deploy", "images", "build.ts");
  const what = ["--tool=buildah", `--name=${NAME}`, `--tag=${sourcesKey()}`];
  await withStore(
    process.execPath,
    program,
    ...what,
    "--",
    "--isolation=chroot",
    "--pull-never",
    "--layers",
    packages,
    ...bases,
  );
  const built = references();
  for (const name of names) {
    await buildah("push", "--quiet", built[name], `oci-archive:${join(folder, `${name}.tar`)}:${built[name]}`);
  }
  // what lies in the archives is not needed twice, and intermediate layers are large
  await buildah("rmi", ...names.map((name) => built[name]));
  await buildah("rmi", "--prune");
}

let known: string | undefined;

/** Of the sources as they are when it is asked first: whoever edits them meanwhile gets what this process began with. */
function sourcesKey(): string {
  known ??= keyOfSources();
  return known;
}

function keyOfSources(): string {
  const hash = createHash("sha256").update(process.version).update(process.arch);
  const files = sources.flatMap((pattern) => globSync(pattern, { cwd: repository })).sort();
  for (const file of files) {
    const path = join(repository, file);
    if (statSync(path).isFile()) hash.update(`${file}\0`).update(readFileSync(path));
  }
  return hash.digest("hex").slice(0, 12);
}

function npmCache(): string {
  return process.env.npm_config_cache ?? join(process.env.HOME ?? "/root", ".npm");
}

/** Removes all builds but the youngest. */
async function prune(own: string): Promise<void> {
  const builds = (await readdir(buildFolder)).filter((name) => /^[0-9a-f]{12}$/.test(name) && name !== own);
  const ages = builds.map((name) => ({ name, age: statSync(join(buildFolder, name)).mtimeMs }));
  const old = ages.sort((a, b) => b.age - a.age).slice(KEPT_BUILDS - 1);
  for (const { name } of old) await rm(join(buildFolder, name), { recursive: true, force: true });
}
