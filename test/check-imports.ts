import { globSync, readFileSync } from "node:fs";
import { posix } from "node:path";

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

/**
 * Which rooms each room of the policy engine may import: a handler asks a service, a service a repository by its contract, and
 * nobody but the store knows of a database. What stands outside of the rooms is everybody's.
 */
const rooms: Readonly<Record<string, readonly string[]>> = {
  schema: [],
  domain: ["schema"],
  store: ["domain", "schema"],
  metrics: ["domain", "schema"],
  targets: ["domain", "schema"],
  executors: ["domain", "schema", "targets"],
  overrides: ["domain", "schema", "targets"],
  engine: ["domain", "schema", "targets", "executors", "overrides"],
  service: ["domain", "schema"],
  access: ["schema", "service"],
  http: ["domain", "schema", "service"],
};

/** Of these no code, only types: what the API of the policies says is said once, and its server stays out of the commands. */
const typesOnly: Readonly<Record<string, readonly string[]>> = { cli: ["policies"] };

/** Packages of others that only one of ours may touch, or only some of its rooms. */
const reserved: Readonly<Record<string, readonly string[]>> = {
  "@kubernetes/client-node": ["kube/"],
  "http-proxy-3": ["resolver/"],
  kysely: ["policies/src/store/"],
  // SQL metrics have databases of their own
  pg: ["policies/src/store/", "policies/src/metrics/"],
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
      const ofTypes = /^\s*(import|export)\s+type\b/.test(match[0]) && typesOnly[own]?.includes(sibling ?? "") === true;
      if (sibling !== undefined && sibling !== own && !allowed[own]?.includes(sibling) && !ofTypes) {
        problems.push(`${file}: ${own} may not import ${sibling} (${name})`);
      }
      if (/^(\.\.\/)+[a-z]+\/src\//.test(name))
        problems.push(`${file}: import another package by its name, not by ${name}`);
      const place = file.replaceAll("\\", "/").replace(/^packages\//, "");
      for (const [library, owners] of Object.entries(reserved)) {
        if (name !== library && !name.startsWith(`${library}/`)) continue;
        if (!owners.some((owner) => place.startsWith(owner))) {
          problems.push(`${file}: only ${owners.join(" and ")} imports ${library}`);
        }
      }
      const room = roomOf(place);
      const other = name.startsWith(".") ? roomOf(posix.join(posix.dirname(place), name)) : undefined;
      if (room !== undefined && other !== undefined && other !== room && !rooms[room]?.includes(other)) {
        problems.push(`${file}: room ${room} may not import room ${other} (${name})`);
      }
    }
  }
  return problems;
}

/** The room of the policy engine that a file is in; undefined for what is outside of them. */
function roomOf(place: string): string | undefined {
  return /^policies\/src\/([^/]+)\//.exec(place)?.[1];
}
