import { join } from "node:path";
import { elastiServiceCrd, GROUP } from "@elasti/api";
import { isAlreadyExists, type KubeClient, type KubeObject, type Resource, resources } from "@elasti/kube";
import { type Component, deploymentManifest, OPERATOR, RESOLVER, serviceManifests } from "@elasti/local";
import type { ElastiImages } from "./elasti-images.ts";
import { images } from "./images.ts";
import { cacheFolder, repository } from "./places.ts";

const kind = (group: string, plural: string, name: string, namespaced = true): Resource => ({
  group,
  version: "v1",
  plural,
  kind: name,
  namespaced,
});
export const serviceAccounts = kind("", "serviceaccounts", "ServiceAccount");
const clusterRoles = kind("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", false);
const clusterRoleBindings = kind("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", false);

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const read = ["get", "list", "watch"];
const rule = (apiGroup: string, plurals: readonly string[], verbs: readonly string[]): Rule => ({
  apiGroups: [apiGroup],
  resources: plurals,
  verbs,
});

/** What each account may do; a test takes rules away to see what is said then. */
export const rules: Readonly<Record<Component, readonly Rule[]>> = {
  [OPERATOR]: [
    rule(GROUP, ["elastiservices"], [...read, "update", "patch"]),
    rule(GROUP, ["elastiservices/status", "elastiservices/finalizers"], ["get", "update", "patch"]),
    rule("", ["services"], [...read, "create", "update", "patch", "delete"]),
    rule("discovery.k8s.io", ["endpointslices"], [...read, "create", "update", "patch", "delete"]),
    rule("", ["configmaps"], [...read, "create", "update", "patch", "delete"]),
    rule("coordination.k8s.io", ["leases"], [...read, "create", "update", "patch"]),
    rule("", ["namespaces", "pods", "services/finalizers"], read),
    rule("", ["services/finalizers"], ["update"]),
    rule("", ["events"], ["create", "patch", ...read]),
    rule("events.k8s.io", ["events"], ["create", "patch"]),
    rule("apps", ["deployments", "statefulsets", "replicasets"], read),
    rule("apps", ["deployments/scale", "statefulsets/scale"], ["get", "patch", "update"]),
    rule("argoproj.io", ["rollouts"], read),
    rule("argoproj.io", ["rollouts/scale"], ["get", "patch", "update"]),
    // kinds that tests bring along
    rule("example.com", ["fleets"], read),
    rule("example.com", ["fleets/scale"], ["get", "patch", "update"]),
    rule("elasti.test", ["widgets"], read),
    rule("elasti.test", ["widgets/scale"], ["get", "patch", "update"]),
    rule("autoscaling", ["horizontalpodautoscalers"], read),
    rule("keda.sh", ["scaledobjects"], [...read, "patch", "update"]),
    rule("metrics.k8s.io", ["pods"], ["list"]),
    rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
    rule("apiextensions.k8s.io", ["customresourcedefinitions"], read),
  ],
  [RESOLVER]: [
    rule(GROUP, ["elastiservices"], read),
    rule("discovery.k8s.io", ["endpointslices"], read),
    rule("", ["services"], read),
  ],
};

/** Creates an object, or replaces what is there under its name. */
async function put(client: KubeClient, resource: Resource, object: KubeObject): Promise<void> {
  try {
    await client.create(resource, object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const { namespace, name } = object.metadata;
    await client.patch(resource, namespace, name, "merge", object);
  }
}

export interface InstallOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly replicas: Readonly<Record<Component, number>>;
  readonly env: Readonly<Record<Component, Readonly<Record<string, string>>>>;
  readonly rules?: Partial<Record<Component, readonly Rule[]>>;
  /** References of images that are in the cluster. Without, pods run the sources. */
  readonly images?: ElastiImages | undefined;
}

/**
 * Installs Elasti as real pods under real accounts. From sources they see the repository and a cache of compiled code through
 * mounts of the node; from images they have nothing but those, and run with the least rights that there are.
 */
export async function installPods(options: InstallOptions): Promise<void> {
  const { client, namespace, images: built } = options;
  await put(client, resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  await put(client, resources.customResourceDefinitions, elastiServiceCrd() as unknown as KubeObject);
  for (const component of [OPERATOR, RESOLVER] as const) {
    const name = `${component}-${namespace}`;
    await put(client, serviceAccounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: component, namespace },
    });
    const role = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name } };
    await put(client, clusterRoles, { ...role, rules: options.rules?.[component] ?? rules[component] } as KubeObject);
    await put(client, clusterRoleBindings, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
      subjects: [{ kind: "ServiceAccount", name: component, namespace }],
    } as KubeObject);
  }
  for (const service of serviceManifests(namespace)) await put(client, resources.services, service);
  for (const component of [OPERATOR, RESOLVER] as const) {
    const manifest = deploymentManifest({
      component,
      namespace,
      replicas: options.replicas[component],
      env: { ...options.env[component], ...(built === undefined ? { NODE_COMPILE_CACHE: "/compiled" } : {}) },
    });
    const ready = built === undefined ? fromSources(manifest) : fromImage(manifest, imageOf(built, component));
    await put(client, resources.deployments, asPod(ready, component));
  }
}

/** Removes what `installPods` made outside of the namespace, and the namespace. */
export async function uninstall(client: KubeClient, namespace: string): Promise<void> {
  for (const component of [OPERATOR, RESOLVER] as const) {
    await client.delete(clusterRoleBindings, undefined, `${component}-${namespace}`).catch(() => {});
    await client.delete(clusterRoles, undefined, `${component}-${namespace}`).catch(() => {});
  }
  await client.delete(resources.namespaces, undefined, namespace).catch(() => {});
}

type Manifest = ReturnType<typeof deploymentManifest>;

const imageOf = (built: ElastiImages, component: Component): string =>
  component === OPERATOR ? built.operator : built.resolver;
const specOf = (manifest: Manifest): PodSpec => (manifest.spec.template as unknown as { spec: PodSpec }).spec;

function fromSources(manifest: Manifest): Manifest {
  const sources = withSources(manifest);
  const spec = specOf(sources);
  spec.volumes.push({
    name: "compiled",
    hostPath: { path: join(cacheFolder(), "compiled"), type: "DirectoryOrCreate" },
  });
  for (const container of spec.containers) container.volumeMounts?.push({ name: "compiled", mountPath: "/compiled" });
  return sources;
}

/** What the images' own entry point starts, under the rules of Kubernetes' "restricted" pod security. */
function fromImage(manifest: Manifest, image: string): Manifest {
  const copy = structuredClone(manifest);
  const spec = specOf(copy);
  spec.volumes = [];
  for (const container of spec.containers) {
    container.image = image;
    container.imagePullPolicy = "Never";
    delete container.command;
    container.volumeMounts = [];
    container.securityContext = {
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    };
  }
  return copy;
}

function asPod(manifest: Manifest, component: Component): Manifest {
  const spec = specOf(manifest);
  spec.serviceAccountName = component;
  for (const container of spec.containers) {
    // without, all others of a busy node come before it
    container.resources = { requests: { cpu: "100m" } };
  }
  if (component === RESOLVER) {
    const token = { serviceAccountToken: { audience: "elasti-operator", path: "token", expirationSeconds: 3600 } };
    spec.volumes.push({ name: "token", projected: { sources: [token] } });
    for (const container of spec.containers)
      container.volumeMounts?.push({ name: "token", mountPath: "/var/run/secrets/elasti", readOnly: true });
  }
  return manifest;
}

interface PodSpec {
  serviceAccountName?: string;
  volumes: object[];
  containers: {
    image: string;
    imagePullPolicy?: string;
    command?: readonly string[];
    volumeMounts?: object[];
    resources?: object;
    securityContext?: object;
  }[];
}

/** A Deployment whose commands are files of the repository: its pods get an image with what Node needs, and see the files. */
export function withSources<T extends { spec: { template: { spec?: object } } }>(manifest: T): T {
  const copy = structuredClone(manifest);
  const spec = copy.spec.template.spec as PodSpec;
  spec.volumes = [...(spec.volumes ?? []), { name: "sources", hostPath: { path: repository, type: "Directory" } }];
  for (const container of spec.containers) {
    if (!container.image.endsWith(":local")) continue;
    container.image = images.node;
    container.imagePullPolicy = "Never";
    container.volumeMounts = [{ name: "sources", mountPath: repository, readOnly: true }];
  }
  return copy;
}
