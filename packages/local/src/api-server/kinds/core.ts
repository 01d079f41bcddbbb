import { type Resource, resources } from "@elasti/kube";
import { forbidden } from "../field-error.ts";
import { type ApiObject, asArray, asObject, childObject, jsonEqual, setDefault } from "../json.ts";
import { defineKind, type Kind } from "../kind.ts";
import { label1123Problem } from "../names.ts";
import { ageColumn, column, listAt, nameColumn, wide } from "./columns.ts";

export const namespaceKind: Kind = defineKind({
  resource: resources.namespaces,
  shortNames: ["ns"],
  hasStatus: true,
  selectableFields: ["status.phase"],
  validateName: label1123Problem,
  prepareCreate(object) {
    // the content of a namespace goes before the namespace: this finalizer is taken off by namespace-lifecycle.ts
    childObject(object, "spec").finalizers = ["kubernetes"];
    object.status = { phase: "Active" };
    object.metadata.labels = { ...object.metadata.labels, "kubernetes.io/metadata.name": object.metadata.name };
  },
  prepareUpdate(object, previous) {
    object.spec = previous.spec;
    object.status = previous.status;
    object.metadata.labels = { ...object.metadata.labels, "kubernetes.io/metadata.name": object.metadata.name };
  },
  columns: [
    nameColumn,
    column("Status", (object) => asObject(object.status).phase ?? "Active", {
      description: "The status of the namespace",
    }),
    ageColumn,
  ],
});

function nodeReady(object: ApiObject): string {
  const ready = listAt(object, "status", "conditions").find((condition) => condition.type === "Ready");
  return ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
}

export const nodeKind: Kind = defineKind({
  resource: resources.nodes,
  shortNames: ["no"],
  hasStatus: true,
  selectableFields: ["spec.unschedulable"],
  columns: [
    nameColumn,
    column("Status", nodeReady, { description: "The status of the node" }),
    column("Roles", () => "<none>"),
    ageColumn,
    column("Version", (object) => asObject(asObject(object.status).nodeInfo).kubeletVersion ?? "", {
      description: "Kubelet Version reported by the node.",
    }),
    column(
      "Internal-IP",
      (object) =>
        listAt(object, "status", "addresses").find((entry) => entry.type === "InternalIP")?.address ?? "<none>",
      wide,
    ),
  ],
});

function immutableWhenSealed(object: ApiObject, previous: ApiObject | undefined) {
  if (previous?.immutable !== true) return [];
  const same = jsonEqual(object.data, previous.data) && jsonEqual(object.binaryData, previous.binaryData);
  return same && object.immutable === true ? [] : [forbidden("data", "field is immutable when `immutable` is set")];
}

export const configMapKind: Kind = defineKind({
  resource: resources.configMaps,
  shortNames: ["cm"],
  validate: immutableWhenSealed,
  columns: [
    nameColumn,
    column(
      "Data",
      (object) => Object.keys(asObject(object.data)).length + Object.keys(asObject(object.binaryData)).length,
    ),
    ageColumn,
  ],
});

const secrets: Resource = { group: "", version: "v1", plural: "secrets", kind: "Secret", namespaced: true };

export const secretKind: Kind = defineKind({
  resource: secrets,
  selectableFields: ["type"],
  validate: immutableWhenSealed,
  prepareCreate(object) {
    setDefault(object, "type", "Opaque");
    const plain = asObject(object.stringData);
    if (object.stringData !== undefined) {
      const data = childObject(object, "data");
      for (const [key, value] of Object.entries(plain)) data[key] = Buffer.from(String(value)).toString("base64");
      delete object.stringData;
    }
  },
  columns: [
    nameColumn,
    column("Type", (object) => object.type),
    column("Data", (object) => Object.keys(asObject(object.data)).length),
    ageColumn,
  ],
});

const serviceAccounts: Resource = {
  group: "",
  version: "v1",
  plural: "serviceaccounts",
  kind: "ServiceAccount",
  namespaced: true,
};

export const serviceAccountKind: Kind = defineKind({
  resource: serviceAccounts,
  shortNames: ["sa"],
  returnsDeleted: true,
  columns: [nameColumn, column("Secrets", (object) => asArray(object.secrets).length), ageColumn],
});
