/**
 * `node deploy/images/bundle.ts FOLDER`: makes one minified CommonJS file of each program, with everything it imports, and says beside
 * them which licences that is. Why this form and no other: docs/decisions/0005-memory.md.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

/** What of Kubernetes' client reads YAML: half a megabyte of text that a program in a pod has no use for. */
const YAML = "@kubernetes/client-node/dist/yaml.js";

/** The policy engine, which an operator without policies never reads. */
const apartPolicies = ["--alias:@elasti/policies=./policies.cjs", "--external:./policies.cjs"];
const apartYaml = [`--alias:${YAML}=./yaml.cjs`, "--external:./yaml.cjs"];
/** In CommonJS a file knows its folder by another name. */
const folderName = ["--define:import.meta.dirname=__dirname", "--log-override:empty-import-meta=silent"];

/** Static files of the page to try the API on, which stand beside the bundle of the policies. */
const page = {
  from: join(root, "node_modules", "swagger-ui-dist"),
  files: ["swagger-ui-bundle.js", "swagger-ui.css", "LICENSE"],
};

/** Files by their name without `.cjs`, with what is particular about each. */
const files: Readonly<Record<string, readonly string[]>> = {
  resolver: apartYaml,
  operator: [...apartYaml, ...apartPolicies, ...folderName],
  yaml: [],
  // a driver in C that pg takes where it is installed
  policies: [...apartYaml, "--external:pg-native"],
  // the others are arguments of node
  elasti: ["--banner:js=#!/usr/local/bin/node", ...apartPolicies, ...folderName],
};

/** As much as is read here of what esbuild tells of a bundle. */
interface Metafile {
  readonly outputs: Readonly<Record<string, { readonly inputs: Readonly<Record<string, unknown>> }>>;
}

/** Writes the bundles, the files beside them and `LICENSES.txt` into a folder. */
export function bundle(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const packages = new Set<string>();
  for (const [program, particular] of Object.entries(files)) {
    const metafile = join(folder, `${program}.json`);
    execFileSync(
      join(root, "node_modules", ".bin", "esbuild"),
      [
        join("deploy", "images", "entry", `${program}.ts`),
        "--bundle",
        "--platform=node",
        "--target=node26",
        "--format=cjs",
        "--minify",
        "--legal-comments=none",
        "--log-level=warning",
        ...particular,
        `--metafile=${metafile}`,
        `--outfile=${join(folder, `${program}.cjs`)}`,
      ],
      { cwd: root, stdio: ["ignore", "inherit", "inherit"] },
    );
    const { outputs } = JSON.parse(readFileSync(metafile, "utf8")) as Metafile;
    rmSync(metafile);
    for (const { inputs } of Object.values(outputs)) {
      for (const input of Object.keys(inputs)) {
        const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
        if (found !== undefined) packages.add(found);
      }
    }
  }
  mkdirSync(join(folder, "swagger-ui"), { recursive: true });
  for (const file of page.files) copyFileSync(join(page.from, file), join(folder, "swagger-ui", file));
  writeFileSync(join(folder, "LICENSES.txt"), licences([...packages].sort()));
}

/** What the packages' authors want to be told along with their work. @param folders of packages, below the root */
function licences(folders: readonly string[]): string {
  const texts = new Map<string, string[]>();
  for (const folder of folders) {
    const path = join(root, folder);
    const { name, version, license } = JSON.parse(readFileSync(join(path, "package.json"), "utf8")) as {
      name: string;
      version: string;
      license?: string;
    };
    const file = readdirSync(path).find((entry) => /^(licen[cs]e|copying)(\.|$)/i.test(entry));
    const text =
      file === undefined ? `Licence: ${license ?? "none named"}` : readFileSync(join(path, file), "utf8").trim();
    texts.set(text, [...(texts.get(text) ?? []), `${name} ${version}`]);
  }
  const own = readFileSync(join(root, "LICENSE"), "utf8").trim();
  const parts = [...texts].map(([text, names]) => `${names.join("\n")}\n\n${text}`);
  return [`Elasti\n\n${own}`, ...parts].join(`\n\n${"-".repeat(80)}\n\n`).concat("\n");
}

if (import.meta.main) {
  const folder = process.argv[2];
  if (folder === undefined) {
    process.stderr.write("usage: node deploy/images/bundle.ts FOLDER\n");
    process.exit(2);
  }
  bundle(folder);
}
