import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "./places.ts";
import { goProgram } from "./requirements.ts";

export interface GoTools {
  readonly name: string;
  readonly version: string;
  /** Folder beside this file whose go.mod names the programs as tools, or which is a program itself. */
  readonly folder: string;
  readonly programs?: "tool" | ".";
  /** Variables that the linker sets, by which a program knows its version. */
  readonly variables: Readonly<Record<string, string>>;
  /** How long the first build takes, for people. */
  readonly cost: string;
}

/**
 * Programs that are Go modules, built where the cache has none. The cache's key is the module's own sum, so that whoever
 * changes the module builds anew. @returns the folder of the programs
 */
export async function ensureGoTools(tools: GoTools, say: (line: string) => void): Promise<string> {
  const { name, version, folder, programs = "tool", variables, cost } = tools;
  const module = join(import.meta.dirname, folder);
  const set = Object.entries(variables).map(([variable, value]) => `-X ${variable}=${value}`);
  const key = createHash("sha256")
    .update(await readFile(join(module, "go.mod")))
    .update(await readFile(join(module, "go.sum")));
  if (programs === ".") key.update(await readFile(join(module, "main.go")));
  const home = join(cacheFolder(), `${name.toLowerCase()}-${version}-${key.digest("hex").slice(0, 12)}`);
  if (existsSync(join(home, "complete"))) return home;
  say(`building ${name} ${version} from source, which takes about ${cost} the first time`);
  const building = `${home}.${process.pid}`;
  await mkdir(building, { recursive: true });
  try {
    const child = spawn(goProgram(), ["install", "-ldflags", ["-s", "-w", ...set].join(" "), programs], {
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
  return home;
}
