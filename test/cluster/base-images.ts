import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buildah, buildFolder, outside } from "./image-builder.ts";
import { repository } from "./places.ts";
import { which } from "./requirements.ts";

/** The bases of the Dockerfiles without their digests. */
export interface Bases {
  readonly BUILD_BASE: string;
  readonly RUNTIME_BASE: string;
}

/** Release of Debian that both bases are made of, as those of the Dockerfiles are. */
const RELEASE = "trixie";

/** What of Debian is in the real ones, as far as it is used. */
const packages: Readonly<Record<keyof Bases, readonly string[]>> = {
  BUILD_BASE: ["base-files", "ca-certificates", "coreutils", "dash", "libatomic1", "libstdc++6"],
  RUNTIME_BASE: [
    "base-files",
    "ca-certificates",
    "libc6",
    "libgcc-s1",
    "libssl3t64",
    "libstdc++6",
    "netbase",
    "tzdata",
  ],
};

/**
 * Makes images under the names that the Dockerfiles begin with, of Debian's packages and of this machine's Node.js and npm: no
 * registry is asked for images. Those of an earlier call are used again.
 */
export async function ensureBases(): Promise<Bases> {
  const bases = basesOf(readFileSync(join(repository, "Dockerfile.resolver"), "utf8"));
  await ensure(bases.RUNTIME_BASE, "RUNTIME_BASE", () => []);
  await ensure(bases.BUILD_BASE, "BUILD_BASE", addNode);
  return bases;
}

/** The defaults of the build arguments. A digest names what only a registry has. */
export function basesOf(dockerfile: string): Bases {
  const base = (name: keyof Bases): string => {
    const found = new RegExp(`^ARG ${name}=([^@\\s]+)@sha256:[0-9a-f]{64}$`, "m").exec(dockerfile)?.[1];
    if (found === undefined) throw new Error(`the Dockerfile pins no ${name} by a digest`);
    return found;
  };
  return { BUILD_BASE: base("BUILD_BASE"), RUNTIME_BASE: base("RUNTIME_BASE") };
}

async function ensure(name: string, base: keyof Bases, add: (folder: string) => readonly string[]): Promise<void> {
  const key = createHash("sha256")
    .update(JSON.stringify([RELEASE, packages[base], process.version, add.toString()]))
    .digest("hex");
  const label = await buildah("inspect", "--type", "image", "--format", '{{index .OCIv1.Config.Labels "key"}}', name)
    .then((text) => text.trim())
    .catch(() => undefined);
  if (label === key) return;
  const folder = join(buildFolder, `base.${process.pid}`);
  mkdirSync(folder, { recursive: true });
  try {
    const archive = join(folder, "debian.tar");
    // unpacked only: nothing here asks for what the packages' scripts would do
    await outside(
      "mmdebstrap",
      "--quiet",
      "--variant=extract",
      `--include=${packages[base].join(",")}`,
      RELEASE,
      archive,
    );
    const lines = ["FROM scratch", "ADD debian.tar /", ...add(folder), `LABEL key=${key}`];
    writeFileSync(join(folder, "Dockerfile"), `${lines.join("\n")}\n`);
    await buildah("bud", "--quiet", "--isolation", "chroot", "--tag", name, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Node.js and npm where the official image has them; they trust whom this machine trusts. */
function addNode(folder: string): string[] {
  const certificates = "/etc/ssl/certs/ca-certificates.crt";
  mkdirSync(join(folder, "local", "bin"), { recursive: true });
  cpSync(realpathSync(process.execPath), join(folder, "local", "bin", "node"));
  const npm = dirname(dirname(realpathSync(which("npm") ?? "npm")));
  cpSync(npm, join(folder, "local", "lib", "node_modules", "npm"), { recursive: true });
  symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(folder, "local", "bin", "npm"));
  const lines = ["COPY local /usr/local", "ENV PATH=/usr/local/bin:/usr/bin:/bin"];
  if (!existsSync(certificates)) return lines;
  cpSync(certificates, join(folder, "certificates.crt"));
  return [...lines, `COPY certificates.crt ${certificates}`, `ENV NODE_EXTRA_CA_CERTS=${certificates}`];
}
