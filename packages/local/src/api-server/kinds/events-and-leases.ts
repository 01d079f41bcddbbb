import { resources } from "@elasti/kube";
import { type FieldError, invalid } from "../field-error.ts";
import { type ApiObject, asObject, isJsonObject } from "../json.ts";
import { defineKind, type Kind } from "../kind.ts";
import { badRequest } from "../status-error.ts";
import { age, ageColumn, column, nameColumn, wide } from "./columns.ts";

const microTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/;

/** metav1.MicroTime has exactly six digits after the point; Go refuses three, as Date.toISOString writes them. */
function checkMicroTime(kind: string, version: string, value: unknown): void {
  if (value === undefined || value === null || (typeof value === "string" && microTime.test(value))) return;
  const text = String(value);
  throw badRequest(
    `${kind} in version "${version}" cannot be handled as a ${kind}: parsing time "${text}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "${text.slice(19)}" as ".000000"`,
  );
}

/** metav1.Time is kept in whole seconds. */
function truncateTime(object: ApiObject, field: string): void {
  const value = object[field];
  if (typeof value === "string" && !Number.isNaN(Date.parse(value))) {
    object[field] = `${new Date(Date.parse(value)).toISOString().slice(0, 19)}Z`;
  }
}

function validateEvent(object: ApiObject): FieldError[] {
  const involved = asObject(object.involvedObject).namespace ?? "";
  const { namespace } = object.metadata;
  const matches = involved === "" ? namespace === "default" || namespace === "kube-system" : involved === namespace;
  return matches ? [] : [invalid("involvedObject.namespace", involved, "does not match event.namespace")];
}

export const eventKind: Kind = defineKind({
  resource: resources.events,
  shortNames: ["ev"],
  createOnUpdate: true,
  selectableFields: [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
  ],
  decode(object) {
    checkMicroTime("Event", "v1", object.eventTime);
    truncateTime(object, "firstTimestamp");
    truncateTime(object, "lastTimestamp");
    return [];
  },
  validate: validateEvent,
  columns: [
    column("Last Seen", (object, nowMs) =>
      age(object.lastTimestamp ?? object.eventTime ?? object.firstTimestamp, nowMs),
    ),
    column("Type", (object) => object.type ?? ""),
    column("Reason", (object) => object.reason ?? ""),
    column("Object", (object) => {
      const involved = asObject(object.involvedObject);
      return `${String(involved.kind ?? "").toLowerCase()}/${involved.name ?? ""}`;
    }),
    column("Subobject", (object) => asObject(object.involvedObject).fieldPath ?? "", wide),
    column("Source", (object) => asObject(object.source).component ?? object.reportingComponent ?? "", wide),
    column("Message", (object) => String(object.message ?? "").trim()),
    column("First Seen", (object, nowMs) => age(object.firstTimestamp ?? object.eventTime, nowMs), wide),
    column("Count", (object) => String(object.count ?? 1), wide),
    column("Name", (object) => object.metadata.name, wide),
  ],
});

export const leaseKind: Kind = defineKind({
  resource: resources.leases,
  createOnUpdate: true,
  unconditionalUpdate: false,
  decode(object) {
    const { spec } = object;
    if (isJsonObject(spec)) {
      checkMicroTime("Lease", "coordination.k8s.io/v1", spec.acquireTime);
      checkMicroTime("Lease", "coordination.k8s.io/v1", spec.renewTime);
    }
    return [];
  },
  validate(object) {
    const seconds = asObject(object.spec).leaseDurationSeconds;
    if (seconds === undefined || (typeof seconds === "number" && seconds > 0)) return [];
    return [invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")];
  },
  columns: [nameColumn, column("Holder", (object) => asObject(object.spec).holderIdentity ?? ""), ageColumn],
});
