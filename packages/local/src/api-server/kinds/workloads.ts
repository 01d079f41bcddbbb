import { type Resource, resources } from "@elasti/kube";
import { type FieldError, immutable, invalid, required } from "../field-error.ts";
import { type ApiObject, asArray, asObject, childObject, type JsonObject, jsonEqual, setDefault } from "../json.ts";
import { defineKind, type Kind, type ScaleFields, specMoved } from "../kind.ts";
import { ageColumn, column, labelText, listAt, nameColumn, numberAt, wide } from "./columns.ts";
import { defaultTemplate, validatePodSpec } from "./pod-template.ts";

const operators: Readonly<Record<string, (key: string, values: string) => string>> = {
  In: (key, values) => `${key} in (${values})`,
  NotIn: (key, values) => `${key} notin (${values})`,
  Exists: (key) => key,
  DoesNotExist: (key) => `!${key}`,
};

/** A metav1.LabelSelector as the text that list and watch understand. */
export function selectorText(selector: unknown): string {
  const { matchLabels, matchExpressions } = asObject(selector);
  const parts = Object.entries(asObject(matchLabels)).map(([key, value]) => `${key}=${value}`);
  for (const entry of asArray(matchExpressions).map(asObject)) {
    const values = asArray(entry.values).map(String).sort().join(",");
    parts.push(operators[String(entry.operator)]?.(String(entry.key), values) ?? String(entry.key));
  }
  return parts.sort().join(",");
}

const workloadScale: ScaleFields = {
  specReplicas: ["spec", "replicas"],
  statusReplicas: ["status", "replicas"],
  selector: (object) => selectorText(asObject(object.spec).selector),
};

/** Whether a LabelSelector matches labels. */
function selects(selector: JsonObject, labels: JsonObject): boolean {
  const equal = Object.entries(asObject(selector.matchLabels)).every(([key, value]) => labels[key] === value);
  return (
    equal &&
    asArray(selector.matchExpressions)
      .map(asObject)
      .every((entry) => {
        const value = labels[String(entry.key)];
        const values = asArray(entry.values);
        if (entry.operator === "In") return value !== undefined && values.includes(value);
        if (entry.operator === "NotIn") return value === undefined || !values.includes(value);
        return (entry.operator === "Exists") === (value !== undefined);
      })
  );
}

/** Rules that Deployments and StatefulSets share. */
function validateWorkload(object: ApiObject, previous: ApiObject | undefined): FieldError[] {
  const spec = asObject(object.spec);
  const selector = asObject(spec.selector);
  const problems: FieldError[] = [];
  if (typeof spec.replicas !== "number" || !Number.isInteger(spec.replicas) || spec.replicas < 0) {
    problems.push(invalid("spec.replicas", spec.replicas, "must be greater than or equal to 0"));
  }
  const template = asObject(spec.template);
  const labels = asObject(asObject(template.metadata).labels);
  if (spec.selector === undefined || spec.selector === null) problems.push(required("spec.selector"));
  else if (Object.keys(asObject(selector.matchLabels)).length + asArray(selector.matchExpressions).length === 0) {
    problems.push(invalid("spec.selector", selector, "empty selector is invalid for deployment"));
  }
  if (spec.selector === undefined || !selects(selector, labels)) {
    problems.push(invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
  }
  problems.push(...validatePodSpec(asObject(template.spec), "spec.template.spec"));
  if (previous !== undefined && !jsonEqual(spec.selector, asObject(previous.spec).selector)) {
    problems.push(immutable("spec.selector", selector));
  }
  return problems;
}

function defaultDeployment(object: ApiObject): void {
  const spec = childObject(object, "spec");
  setDefault(spec, "replicas", 1);
  setDefault(spec, "revisionHistoryLimit", 10);
  setDefault(spec, "progressDeadlineSeconds", 600);
  const strategy = childObject(spec, "strategy");
  setDefault(strategy, "type", "RollingUpdate");
  if (strategy.type === "RollingUpdate") {
    const rolling = childObject(strategy, "rollingUpdate");
    setDefault(rolling, "maxUnavailable", "25%");
    setDefault(rolling, "maxSurge", "25%");
  }
  defaultTemplate(spec);
}

const imagesOf = (object: ApiObject) =>
  listAt(object, "spec", "template", "spec", "containers")
    .map((container) => container.image)
    .join(",");
const containersOf = (object: ApiObject) =>
  listAt(object, "spec", "template", "spec", "containers")
    .map((container) => container.name)
    .join(",");

export const deploymentKind: Kind = defineKind({
  resource: resources.deployments,
  shortNames: ["deploy"],
  categories: ["all"],
  hasStatus: true,
  scale: workloadScale,
  // as in the real server, annotations count: controllers copy them to replica sets
  movesGeneration: (object, previous) =>
    specMoved(object, previous) || !jsonEqual(object.metadata.annotations ?? {}, previous.metadata.annotations ?? {}),
  prepareCreate(object) {
    defaultDeployment(object);
    object.status = {};
  },
  prepareUpdate(object, previous) {
    defaultDeployment(object);
    object.status = previous.status;
  },
  validate: validateWorkload,
  columns: [
    nameColumn,
    column(
      "Ready",
      (object) => `${numberAt(object, "status", "readyReplicas")}/${numberAt(object, "spec", "replicas")}`,
      {
        description: "Number of the pod with ready state",
      },
    ),
    column("Up-to-date", (object) => numberAt(object, "status", "updatedReplicas"), { type: "integer" }),
    column("Available", (object) => numberAt(object, "status", "availableReplicas"), { type: "integer" }),
    ageColumn,
    column("Containers", containersOf, wide),
    column("Images", imagesOf, wide),
    column("Selector", (object) => labelText(asObject(asObject(object.spec).selector).matchLabels), wide),
  ],
});

const statefulSets: Resource = {
  group: "apps",
  version: "v1",
  plural: "statefulsets",
  kind: "StatefulSet",
  namespaced: true,
};

function defaultStatefulSet(object: ApiObject): void {
  const spec = childObject(object, "spec");
  setDefault(spec, "replicas", 1);
  setDefault(spec, "revisionHistoryLimit", 10);
  setDefault(spec, "podManagementPolicy", "OrderedReady");
  setDefault(childObject(spec, "updateStrategy"), "type", "RollingUpdate");
  setDefault(spec, "persistentVolumeClaimRetentionPolicy", { whenDeleted: "Retain", whenScaled: "Retain" });
  defaultTemplate(spec);
}

export const statefulSetKind: Kind = defineKind({
  resource: statefulSets,
  shortNames: ["sts"],
  categories: ["all"],
  hasStatus: true,
  scale: workloadScale,
  movesGeneration: specMoved,
  prepareCreate(object) {
    defaultStatefulSet(object);
    object.status = { replicas: 0, availableReplicas: 0 };
  },
  prepareUpdate(object, previous) {
    defaultStatefulSet(object);
    object.status = previous.status;
  },
  validate: validateWorkload,
  columns: [
    nameColumn,
    column(
      "Ready",
      (object) => `${numberAt(object, "status", "readyReplicas")}/${numberAt(object, "spec", "replicas")}`,
    ),
    ageColumn,
    column("Containers", containersOf, wide),
    column("Images", imagesOf, wide),
  ],
});
