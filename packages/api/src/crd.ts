import { SpecSchema } from "./elasti-service.ts";
import { StatusSchema } from "./elasti-service-status.ts";
import { GROUP, KIND, PLURAL, VERSION } from "./names.ts";

/** Keywords that structural schemas of Kubernetes know; everything else of a TypeBox schema stays behind. */
const kept = new Set([
  "type",
  "description",
  "format",
  "default",
  "enum",
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "pattern",
  "minItems",
  "maxItems",
  "required",
  "x-kubernetes-preserve-unknown-fields",
  "x-kubernetes-int-or-string",
  "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-validations",
]);

type JsonSchema = { readonly [key: string]: unknown };

/** The structural form of a TypeBox schema. */
function structural(schema: JsonSchema): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === "properties") {
      out[key] = Object.fromEntries(
        Object.entries(value as Record<string, JsonSchema>).map(([name, child]) => [name, structural(child)]),
      );
    } else if (key === "items") {
      out[key] = structural(value as JsonSchema);
    } else if (kept.has(key) && !(key === "required" && (value as unknown[]).length === 0)) {
      out[key] = value;
    }
  }
  return out;
}

/** The CustomResourceDefinition of ElastiService, made from its schema. */
export function elastiServiceCrd(): Record<string, unknown> & {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
} {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${PLURAL}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: "Namespaced",
      names: { kind: KIND, listKind: `${KIND}List`, plural: PLURAL, singular: KIND.toLowerCase(), shortNames: ["es"] },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            { name: "Service", type: "string", jsonPath: ".spec.service" },
            { name: "Mode", type: "string", jsonPath: ".status.mode" },
            { name: "Phase", type: "string", jsonPath: ".status.phase" },
            { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
            { name: "Reason", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].reason', priority: 1 },
            { name: "Last-Wake", type: "date", jsonPath: ".status.lastWake.time" },
            { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
          ],
          schema: {
            openAPIV3Schema: {
              type: "object",
              description:
                "One Service and the workload behind it, which sleeps at zero replicas and wakes on the first request.",
              properties: {
                apiVersion: { type: "string" },
                kind: { type: "string" },
                metadata: { type: "object" },
                spec: structural(SpecSchema as unknown as JsonSchema),
                status: structural(StatusSchema as unknown as JsonSchema),
              },
              required: ["spec"],
            },
          },
        },
      ],
    },
  };
}
