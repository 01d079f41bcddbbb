import { globSync, readFileSync } from "node:fs";

/** Which packages each package may import; the arrows of docs/architecture.md. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  api: ["core"],
  kube: ["core", "api"],
  scaling: ["core", "api", "kube"],
  policies: ["core", "api", "kube", "scaling"],
  operator: ["core", "api", "kube", "scaling", "policies"],
  resolver: ["core", "api", "kube"],
  local: ["core", "api", "kube"],
  cli: ["core", "api", "kube", "local", "operator", "resolver"],
};

/** Packages of others that only one of ours may touch. */
const reserved: Readonly<Record<string, string>> = {
  "@kubernetes/client-node": "kube",
  "http-proxy-3": "resolver",
  kysely: "policies",
  pg: "policies",
};

const importPattern = /(?:^|\n)\s*(?:import|export)\b[^;"']*?from\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/g;

/** Checks the import directions of the sources below `root`. @returns one line per import that goes the wrong way */
export function checkImports(root: string): string[] {
  const problems: string[] = [];
  for (const file of globSync("packages/*/src/**/*.ts", { cwd: root })) {
    const [, own = ""] = file.split(/[\\/]/);
    for (const match of readFileSync(`${root}/${file}`, "utf8").matchAll(importPattern)) {
      const name = match[1] ?? match[2]!;
      const sibling = /^@elasti\/([a-z]+)/.exec(name)?.[1];
      if (sibling !== undefined && sibling !== own && !allowed[own]?.includes(sibling)) {
        problems.push(`${file}: ${own} may not import ${sibling} (${name})`);
      }
      if (/^(\.\.\/)+[a-z]+\/src\//.test(name))
        problems.push(`${file}: import another package by its name, not by ${name}`);
      for (const [library, owner] of Object.entries(reserved)) {
        if ((name === library || name.startsWith(`${library}/`)) && own !== owner) {
          problems.push(`${file}: only ${owner} imports ${library}`);
        }
      }
    }
  }
  return problems;
}
