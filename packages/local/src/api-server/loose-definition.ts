import type { KubeObject, Resource } from "@elasti/kube";

/** A CustomResourceDefinition that takes whatever it is given, for kinds of others that a test wants this API server to know. */
export function looseDefinition(
  { group, version, plural, kind }: Resource,
  options: { readonly labels?: Readonly<Record<string, string>>; readonly status?: boolean } = {},
): KubeObject {
  const definition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}`, labels: { ...options.labels } },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural, kind, singular: kind.toLowerCase(), listKind: `${kind}List` },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
          ...(options.status === true ? { subresources: { status: {} } } : {}),
        },
      ],
    },
  };
  return definition;
}
