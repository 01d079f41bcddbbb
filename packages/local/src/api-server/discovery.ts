import type { Kind } from "./kind.ts";
import { podKind } from "./kinds/pods.ts";
import type { KindsRegistry } from "./kinds-registry.ts";

/** What /version says. kubectl picks its behaviour by it, so it names the release whose behaviour is followed. */
export const versionInfo = {
  major: "1",
  minor: "32",
  gitVersion: "v1.32.0+elasti",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-01-01T00:00:00Z",
  goVersion: "none",
  compiler: "none",
  platform: "local",
};

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const subresourceVerbs = ["get", "patch", "update"];

function resourcesOf(kind: Kind): object[] {
  const { plural, namespaced, kind: name } = kind.resource;
  const entries: object[] = [
    {
      name: plural,
      singularName: kind.singular,
      namespaced,
      kind: name,
      verbs,
      ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
      ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
      storageVersionHash: "",
    },
  ];
  if (kind.hasStatus) {
    entries.push({ name: `${plural}/status`, singularName: "", namespaced, kind: name, verbs: subresourceVerbs });
  }
  if (kind.scale !== undefined) {
    entries.push({
      name: `${plural}/scale`,
      singularName: "",
      namespaced,
      group: "autoscaling",
      version: "v1",
      kind: "Scale",
      verbs: subresourceVerbs,
    });
  }
  if (kind === podKind) {
    entries.push({ name: "pods/binding", singularName: "", namespaced, kind: "Binding", verbs: ["create"] });
  }
  return entries;
}

function groupOf(kinds: KindsRegistry, group: string): object | undefined {
  const versions = kinds.versionsOf(group)?.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return versions === undefined ? undefined : { name: group, versions, preferredVersion: versions[0] };
}

/**
 * The discovery document at a path, or undefined. The aggregated form is not served: clients that prefer it fall back to
 * this one when they see its content type.
 */
export function discoveryDocument(kinds: KindsRegistry, path: string, address: string): object | undefined {
  if (path === "/api") {
    const serverAddressByClientCIDRs = [{ clientCIDR: "0.0.0.0/0", serverAddress: address }];
    return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs };
  }
  if (path === "/apis") {
    const names = new Set(kinds.all().map(({ resource }) => resource.group));
    names.delete("");
    return { kind: "APIGroupList", apiVersion: "v1", groups: [...names].map((name) => groupOf(kinds, name)) };
  }
  const [, root, group = "", version] = path.split("/");
  if (root === "api") return resourceList(kinds, "", group);
  if (version === undefined) {
    const found = groupOf(kinds, group);
    return found === undefined ? undefined : { kind: "APIGroup", apiVersion: "v1", ...found };
  }
  return resourceList(kinds, group, version);
}

function resourceList(kinds: KindsRegistry, group: string, version: string): object | undefined {
  const found = kinds.all().filter(({ resource }) => resource.group === group && resource.version === version);
  if (found.length === 0) return undefined;
  const groupVersion = group === "" ? version : `${group}/${version}`;
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources: found.flatMap(resourcesOf) };
}
