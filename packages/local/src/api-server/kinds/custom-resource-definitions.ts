import { resources } from "@elasti/kube";
import { type FieldError, immutable, invalid, required } from "../field-error.ts";
import { type ApiObject, asArray, asObject, childObject, setDefault } from "../json.ts";
import { defineKind, type Kind, specMoved } from "../kind.ts";
import { column, nameColumn } from "./columns.ts";

function defaultNames(object: ApiObject): void {
  const spec = childObject(object, "spec");
  const names = childObject(spec, "names");
  if (typeof names.kind === "string") {
    setDefault(names, "singular", names.kind.toLowerCase());
    setDefault(names, "listKind", `${names.kind}List`);
  }
  setDefault(childObject(spec, "conversion"), "strategy", "None");
}

function condition(type: string, reason: string, message: string, time: string | undefined) {
  return { type, status: "True", reason, message, lastTransitionTime: time };
}

function validateDefinition(object: ApiObject, previous: ApiObject | undefined): FieldError[] {
  const spec = asObject(object.spec);
  const names = asObject(spec.names);
  const problems: FieldError[] = [];
  for (const field of ["plural", "kind"]) if (!names[field]) problems.push(required(`spec.names.${field}`));
  if (!spec.group) problems.push(required("spec.group"));
  if (object.metadata.name !== `${names.plural}.${spec.group}`) {
    problems.push(invalid("metadata.name", object.metadata.name, 'must be spec.names.plural+"."+spec.group'));
  }
  if (spec.scope !== "Namespaced" && spec.scope !== "Cluster") problems.push(required("spec.scope"));
  const versions = asArray(spec.versions).map(asObject);
  if (versions.filter((version) => version.storage === true).length !== 1) {
    problems.push(invalid("spec.versions", versions.length, "must have exactly one version marked as storage version"));
  }
  for (const [index, version] of versions.entries()) {
    if (asObject(version.schema).openAPIV3Schema === undefined) {
      problems.push(required(`spec.versions[${index}].schema.openAPIV3Schema`, "schemas are required"));
    }
  }
  const old = asObject(previous?.spec);
  if (previous !== undefined) {
    if (old.group !== spec.group) problems.push(immutable("spec.group", spec.group));
    if (old.scope !== spec.scope) problems.push(immutable("spec.scope", spec.scope));
    if (asObject(old.names).kind !== names.kind) problems.push(immutable("spec.names.kind", names.kind));
  }
  return problems;
}

export const customResourceDefinitionKind: Kind = defineKind({
  resource: resources.customResourceDefinitions,
  shortNames: ["crd", "crds"],
  categories: ["api-extensions"],
  hasStatus: true,
  unconditionalUpdate: false,
  movesGeneration: specMoved,
  prepareCreate(object) {
    defaultNames(object);
    const spec = asObject(object.spec);
    const time = object.metadata.creationTimestamp;
    // the finalizer keeps the definition until its objects are gone (custom-resources.ts)
    object.metadata.finalizers = ["customresourcecleanup.apiextensions.k8s.io"];
    object.status = {
      conditions: [
        condition("NamesAccepted", "NoConflicts", "no conflicts found", time),
        condition("Established", "InitialNamesAccepted", "the initial names have been accepted", time),
      ],
      acceptedNames: spec.names,
      storedVersions: asArray(spec.versions)
        .map(asObject)
        .filter((version) => version.storage === true)
        .map((version) => version.name),
    };
  },
  prepareUpdate(object, previous) {
    defaultNames(object);
    object.status = { ...asObject(previous.status), acceptedNames: asObject(object.spec).names };
  },
  validate: validateDefinition,
  columns: [nameColumn, column("Created At", (object) => object.metadata.creationTimestamp, { type: "date" })],
});
