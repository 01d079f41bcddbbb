import type { Resource } from "@elasti/kube";
import { type FieldError, invalid } from "./field-error.ts";
import { type ApiObject, asArray, asObject, type JsonObject, jsonEqual } from "./json.ts";
import { evaluateJsonPath, parseJsonPath } from "./json-path.ts";
import { type Column, defineKind, type Kind, type ScaleFields } from "./kind.ts";
import { age, nameColumn } from "./kinds/columns.ts";
import { applyDefaults } from "./schema/defaults.ts";
import { prune } from "./schema/prune.ts";
import { validateSchema } from "./schema/validate.ts";

/** Field names of a simple path such as `.spec.replicas`. */
function fieldPath(text: unknown): string[] {
  return String(text ?? "")
    .split(".")
    .filter((part) => part !== "");
}

function scaleFields(declared: JsonObject): ScaleFields {
  const selectorPath = fieldPath(declared.labelSelectorPath);
  return {
    specReplicas: fieldPath(declared.specReplicasPath),
    statusReplicas: fieldPath(declared.statusReplicasPath),
    selector(object) {
      if (selectorPath.length === 0) return "";
      let value: unknown = object;
      for (const part of selectorPath) value = asObject(value)[part];
      return typeof value === "string" ? value : "";
    },
  };
}

/** Counts that a Scale could not show. */
function validateScaleFields(scale: ScaleFields | undefined, object: ApiObject): FieldError[] {
  const problems: FieldError[] = [];
  for (const path of scale === undefined ? [] : [scale.specReplicas, scale.statusReplicas]) {
    let value: unknown = object;
    for (const part of path) value = asObject(value)[part];
    if (typeof value === "number" && value < 0) {
      problems.push(invalid(`.${path.join(".")}`, value, "should be a non-negative integer"));
    }
  }
  return problems;
}

function printerColumn(declared: JsonObject): Column {
  const path = parseJsonPath(String(declared.jsonPath ?? ""));
  const type = String(declared.type ?? "string");
  return {
    name: String(declared.name ?? ""),
    type,
    format: String(declared.format ?? ""),
    description: String(declared.description ?? ""),
    priority: Number(declared.priority ?? 0),
    value(object, nowMs) {
      const values = evaluateJsonPath(path, object);
      if (values.length === 0) return null;
      if (type === "date") return age(values[0], nowMs);
      if (type === "string")
        return values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join(",");
      return values[0];
    },
  };
}

/** Whether anything but metadata (and status, where it is a subresource) has changed. */
function contentMoved(hasStatus: boolean) {
  return (object: ApiObject, previous: ApiObject) => {
    const strip = ({ metadata: _metadata, apiVersion: _version, status, ...rest }: ApiObject) =>
      hasStatus ? rest : { ...rest, status };
    return !jsonEqual(strip(object), strip(previous));
  };
}

/** The kind that a CustomResourceDefinition declares, in its storage version. */
export function customResourceKind(definition: ApiObject): Kind {
  const spec = asObject(definition.spec);
  const names = asObject(spec.names);
  const version = asArray(spec.versions)
    .map(asObject)
    .find((candidate) => candidate.storage === true);
  const schema = asObject(asObject(version?.schema).openAPIV3Schema);
  const subresources = asObject(version?.subresources);
  const hasStatus = subresources.status !== undefined;
  const scale = subresources.scale === undefined ? undefined : scaleFields(asObject(subresources.scale));
  const columns = asArray(version?.additionalPrinterColumns).map((column) => printerColumn(asObject(column)));
  const resource: Resource = {
    group: String(spec.group),
    version: String(version?.name),
    plural: String(names.plural),
    kind: String(names.kind),
    namespaced: spec.scope === "Namespaced",
  };
  return defineKind({
    resource,
    custom: true,
    singular: String(names.singular ?? resource.kind.toLowerCase()),
    listKind: String(names.listKind ?? `${resource.kind}List`),
    shortNames: asArray(names.shortNames).map(String),
    categories: asArray(names.categories).map(String),
    hasStatus,
    unconditionalUpdate: false,
    ...(scale === undefined ? {} : { scale }),
    movesGeneration: contentMoved(hasStatus),
    decode(object) {
      const unknown = prune(schema, object);
      applyDefaults(schema, object);
      return unknown;
    },
    prepareCreate(object) {
      if (hasStatus) delete object.status;
    },
    prepareUpdate(object, previous) {
      if (!hasStatus) return;
      if (previous.status === undefined) delete object.status;
      else object.status = previous.status;
    },
    validate: (object) => [...validateSchema(schema, object), ...validateScaleFields(scale, object)],
    columns: columns.length === 0 ? [] : [nameColumn, ...columns],
  });
}
