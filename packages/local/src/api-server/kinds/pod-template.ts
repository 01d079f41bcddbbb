import { duplicate, type FieldError, invalid, notSupported, required } from "../field-error.ts";
import { asArray, asObject, childObject, isJsonObject, type JsonObject, setDefault } from "../json.ts";
import { label1123Problem } from "../names.ts";

const probes = ["readinessProbe", "livenessProbe", "startupProbe"];

function defaultProbe(probe: JsonObject): void {
  setDefault(probe, "timeoutSeconds", 1);
  setDefault(probe, "periodSeconds", 10);
  setDefault(probe, "successThreshold", 1);
  setDefault(probe, "failureThreshold", 3);
  if (isJsonObject(probe.httpGet)) {
    setDefault(probe.httpGet, "path", "/");
    setDefault(probe.httpGet, "scheme", "HTTP");
  }
  if (isJsonObject(probe.grpc)) setDefault(probe.grpc, "service", "");
}

function defaultContainer(container: JsonObject): void {
  setDefault(container, "resources", {});
  setDefault(container, "terminationMessagePath", "/dev/termination-log");
  setDefault(container, "terminationMessagePolicy", "File");
  const image = String(container.image ?? "");
  const tag = image.includes("@") ? "digest" : (/:([^/:]+)$/.exec(image)?.[1] ?? "latest");
  setDefault(container, "imagePullPolicy", tag === "latest" ? "Always" : "IfNotPresent");
  for (const port of asArray(container.ports)) if (isJsonObject(port)) setDefault(port, "protocol", "TCP");
  for (const name of probes) {
    const probe = container[name];
    if (isJsonObject(probe)) defaultProbe(probe);
  }
  for (const entry of asArray(container.env)) {
    const fieldRef = asObject(asObject(entry).valueFrom).fieldRef;
    if (isJsonObject(fieldRef)) setDefault(fieldRef, "apiVersion", "v1");
  }
}

/** The defaults of a PodSpec, for pods and for templates. */
export function defaultPodSpec(spec: JsonObject): void {
  setDefault(spec, "restartPolicy", "Always");
  setDefault(spec, "terminationGracePeriodSeconds", 30);
  setDefault(spec, "dnsPolicy", "ClusterFirst");
  setDefault(spec, "securityContext", {});
  setDefault(spec, "schedulerName", "default-scheduler");
  for (const list of ["containers", "initContainers"]) {
    for (const container of asArray(spec[list])) if (isJsonObject(container)) defaultContainer(container);
  }
}

/** The defaults of `spec.template` of a workload. */
export function defaultTemplate(spec: JsonObject): void {
  const template = childObject(spec, "template");
  const metadata = childObject(template, "metadata");
  // a typed server keeps this null, and so do clients that send what they read
  if (metadata.creationTimestamp === null) delete metadata.creationTimestamp;
  defaultPodSpec(childObject(template, "spec"));
}

function validateProbe(probe: JsonObject, path: string, name: string): FieldError[] {
  const handlers = ["exec", "httpGet", "tcpSocket", "grpc"].filter((handler) => isJsonObject(probe[handler]));
  const problems: FieldError[] = [];
  if (handlers.length === 0) problems.push(required(path, "must specify a handler type"));
  for (const handler of handlers.slice(1)) {
    problems.push({
      reason: "FieldValueForbidden",
      field: `${path}.${handler}`,
      message: "Forbidden: may not specify more than 1 handler type",
    });
  }
  for (const field of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ]) {
    const value = probe[field];
    if (typeof value === "number" && value < 0) {
      problems.push(invalid(`${path}.${field}`, value, "must be greater than or equal to 0"));
    }
  }
  if (name !== "readinessProbe" && typeof probe.successThreshold === "number" && probe.successThreshold !== 1) {
    problems.push(invalid(`${path}.successThreshold`, probe.successThreshold, "must be 1"));
  }
  for (const handler of ["httpGet", "tcpSocket", "grpc"]) {
    const action = probe[handler];
    if (!isJsonObject(action)) continue;
    const { port } = action;
    if (typeof port === "number" && (port < 1 || port > 65_535)) {
      problems.push(invalid(`${path}.${handler}.port`, port, "must be between 1 and 65535, inclusive"));
    } else if (port === undefined) problems.push(required(`${path}.${handler}.port`));
  }
  return problems;
}

function validateContainer(container: JsonObject, path: string): FieldError[] {
  const problems: FieldError[] = [];
  const name = String(container.name ?? "");
  if (name === "") problems.push(required(`${path}.name`));
  else if (label1123Problem(name) !== undefined) problems.push(invalid(`${path}.name`, name, label1123Problem(name)!));
  if (typeof container.image !== "string" || container.image === "") problems.push(required(`${path}.image`));
  for (const [index, entry] of asArray(container.ports).entries()) {
    const port = asObject(entry);
    const at = `${path}.ports[${index}]`;
    if (port.containerPort === undefined || port.containerPort === 0) problems.push(required(`${at}.containerPort`));
    else if (typeof port.containerPort !== "number" || port.containerPort < 1 || port.containerPort > 65_535) {
      problems.push(invalid(`${at}.containerPort`, port.containerPort, "must be between 1 and 65535, inclusive"));
    }
    if (!["TCP", "UDP", "SCTP"].includes(String(port.protocol))) {
      problems.push(notSupported(`${at}.protocol`, port.protocol, ["SCTP", "TCP", "UDP"]));
    }
  }
  for (const probeName of probes) {
    const probe = container[probeName];
    if (isJsonObject(probe)) problems.push(...validateProbe(probe, `${path}.${probeName}`, probeName));
  }
  return problems;
}

/** Problems of a PodSpec at `path`. */
export function validatePodSpec(spec: JsonObject, path: string): FieldError[] {
  const problems: FieldError[] = [];
  const names = new Set<unknown>();
  const containers = asArray(spec.containers);
  if (containers.length === 0) problems.push(required(`${path}.containers`));
  for (const list of ["initContainers", "containers"]) {
    for (const [index, entry] of asArray(spec[list]).entries()) {
      const container = asObject(entry);
      const at = `${path}.${list}[${index}]`;
      problems.push(...validateContainer(container, at));
      if (names.has(container.name)) problems.push(duplicate(`${at}.name`, container.name));
      names.add(container.name);
    }
  }
  if (!["Always", "OnFailure", "Never"].includes(String(spec.restartPolicy))) {
    problems.push(notSupported(`${path}.restartPolicy`, spec.restartPolicy, ["Always", "Never", "OnFailure"]));
  }
  const grace = spec.terminationGracePeriodSeconds;
  if (typeof grace !== "number" || grace < 0) {
    problems.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, "must be greater than or equal to 0"));
  }
  return problems;
}
