import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Pod, resources } from "@elasti/kube";
import { startRealWorld } from "../e2e/real-world.ts";
import { OPERATOR, RESOLVER, type World } from "../e2e/world.ts";
import { stateOf } from "./cluster.ts";
import { type ElastiImages, elastiImages, ensureElastiArchives } from "./elasti-images.ts";
import { Places, repository } from "./places.ts";
import { Sandbox } from "./sandbox.ts";

/** Upper bound of what a node pulls, in bytes. */
const MOST_BYTES = 90e6;

/** As much of an OCI archive as is looked at. */
interface Image {
  readonly config: {
    readonly User?: string;
    readonly Entrypoint?: readonly string[];
    readonly Env?: readonly string[];
    readonly Labels?: Readonly<Record<string, string>>;
    readonly StopSignal?: string;
  };
  readonly layers: readonly { readonly mediaType: string; readonly size: number }[];
}

/** Reads the one image of an archive. */
function imageOf(archive: string): Image {
  const json = (path: string) => JSON.parse(execFileSync("tar", ["-xOf", archive, path], { encoding: "utf8" }));
  const blob = (digest: string) => json(`blobs/${digest.replace(":", "/")}`);
  const { layers, config } = blob(json("index.json").manifests[0].digest);
  return { layers, config: blob(config.digest).config };
}

const programs = ["resolver", "operator"] as const;
const flags = {
  resolver: ["--max-semi-space-size=8", "--expose-gc"],
  operator: ["--max-semi-space-size=4", "--expose-gc"],
} as const;
const componentOf = { resolver: RESOLVER, operator: OPERATOR } as const;
const node = process.env.ELASTI_TEST_NODE;

describe("the images", { skip: node === undefined ? "they are built for a node of ours" : false }, () => {
  let archives: ElastiImages;
  let references: ElastiImages;
  before(async () => {
    archives = await ensureElastiArchives();
    references = await elastiImages();
  });

  it("are as small compressed as a node can wish", () => {
    for (const program of programs) {
      const { layers } = imageOf(archives[program]);
      for (const { mediaType } of layers) assert.match(mediaType, /gzip|zstd/);
      const bytes = layers.reduce((sum, { size }) => sum + size, 0);
      assert.ok(bytes <= MOST_BYTES, `${program}: ${bytes} bytes`);
      // nothing of the sizes is left out: the archive has the layers and a few lines
      assert.ok(statSync(archives[program]).size - bytes < 1e6);
    }
  });

  it("start their program as nobody in particular, with the flags that have to come first", () => {
    for (const program of programs) {
      const { config } = imageOf(archives[program]);
      assert.equal(config.User, "65532:65532");
      assert.deepEqual(config.Entrypoint, ["/usr/local/bin/node", ...flags[program], `/app/${program}.cjs`]);
      assert.ok(config.Env?.includes("MALLOC_ARENA_MAX=1"));
      assert.equal(config.StopSignal, "SIGTERM");
    }
  });

  it("say what they are", () => {
    const { version, license } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"));
    for (const program of programs) {
      const { Labels = {} } = imageOf(archives[program]).config;
      const of = (name: string) => Labels[`org.opencontainers.image.${name}`] ?? "";
      assert.equal(of("title"), `Elasti ${program}`);
      assert.equal(of("licenses"), license);
      assert.match(of("version"), /^[0-9a-f]{12}$|^\d+\.\d+\.\d+/);
      assert.match(of("revision"), /^[0-9a-f]{40}$|^unknown$/);
      assert.match(of("created"), /^\d{4}-\d\d-\d\dT/);
      assert.match(of("description"), /./);
    }
    assert.match(version, /^\d+\.\d+\.\d+$/);
  });

  describe("in pods under the restricted rules", () => {
    let world: World;
    before(async () => {
      world = await startRealWorld(process.env.ELASTI_TEST_KUBECONFIG ?? "", { images: true });
    });
    after(async () => {
      await world.close();
    });
    /** Runs a program beside the one of a pod, as that one's user. @returns what it says */
    const exec = async (pod: Pod, ...program: string[]): Promise<string> => {
      const id = (pod.status?.containerStatuses?.[0] as { containerID?: string } | undefined)?.containerID ?? "";
      const sandbox = new Sandbox(new Places(node ?? ""), stateOf(node)?.sandboxPid ?? 0);
      const task = ["tasks", "exec", "--exec-id", randomUUID(), id.replace("containerd://", "")];
      return await sandbox.run("ctr", "--address", "/run/containerd.sock", "-n", "k8s.io", ...task, ...program);
    };
    const podOf = async (program: (typeof programs)[number]): Promise<Pod> => {
      const [pod] = await world.pods(componentOf[program]);
      assert.ok(pod);
      return pod;
    };

    it("hold a request, wake its target and answer it", async () => {
      const sleeper = await world.sleeper({ name: "web" });
      const { status } = await sleeper.ask();
      assert.equal(status, 200);
    });

    it("are one process, the first of its pod, without rights and with nothing to write on", async () => {
      for (const program of programs) {
        const pod = await podOf(program);
        const look = `
          const fs = require("node:fs");
          const status = fs.readFileSync("/proc/1/status", "utf8");
          const field = (name) => new RegExp(name + ":\\\\s+(.*)").exec(status)[1].split("\\t");
          let written;
          try { fs.writeFileSync("/app/written", ""); written = true; } catch (error) { written = error.code; }
          const own = fs.readdirSync("/proc").filter((name) => /^\\d+$/.test(name) && name !== String(process.pid));
          const first = fs.readFileSync("/proc/1/cmdline", "utf8").split("\\0");
          console.log(JSON.stringify({ uids: field("Uid"), rights: field("CapEff")[0], written, own, first }));`;
        const seen = JSON.parse(await exec(pod, "/usr/local/bin/node", "--eval", look));
        assert.deepEqual(new Set(seen.uids), new Set(["65532"]));
        assert.match(seen.rights, /^0+$/);
        assert.equal(seen.written, "EROFS");
        assert.deepEqual(seen.own, ["1"]);
        assert.deepEqual(seen.first.slice(1, -1), [...flags[program], `/app/${program}.cjs`]);
      }
    });

    it("find their compiled code", async () => {
      for (const program of programs) {
        const pod = await podOf(program);
        // without a setting that it needs it ends at once
        const env = '{ ...process.env, POD_NAME: "", NODE_DEBUG_NATIVE: "COMPILE_CACHE" }';
        const start = `spawnSync(process.execPath, ${JSON.stringify([...flags[program], `/app/${program}.cjs`])}, { env: ${env} })`;
        const look = `const { spawnSync } = require("node:child_process"); console.log(String(${start}.stderr))`;
        const said = await exec(pod, "/usr/local/bin/node", "--eval", look);
        assert.match(said, new RegExp(`/app/${program}\\.cjs.* was accepted`));
      }
    });

    it("bring the elasti command along with the operator, without the embedded Kubernetes", async () => {
      const said = await exec(await podOf("operator"), "elasti", "help");
      assert.match(said, /restore/);
      assert.doesNotMatch(said, /demo/);
    });

    it("let a resolver end on SIGTERM by itself, long before it would be killed", async () => {
      const { metadata } = await podOf("resolver");
      const gone = world.until<Pod, true>(
        "its end",
        resources.pods,
        world.system,
        metadata.name,
        (pod) => {
          const ended = pod?.status?.containerStatuses?.[0]?.state as { terminated?: { exitCode: number } } | undefined;
          if (ended?.terminated !== undefined) assert.equal(ended.terminated.exitCode, 0);
          return pod === undefined || ended?.terminated !== undefined;
        },
        20_000,
      );
      await world.client.delete(resources.pods, world.system, metadata.name);
      await gone;
    });
  });

  it("are known to the cluster under names that no registry has", () => {
    for (const program of programs) assert.match(references[program], /^elasti\.test\/elasti-[a-z]+:[0-9a-f]{12}$/);
  });
});
