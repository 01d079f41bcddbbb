import { resources } from "@elasti/kube";
import type { AddressPool } from "../address-pool.ts";
import { duplicate, type FieldError, invalid, notSupported, required } from "../field-error.ts";
import { type ApiObject, asArray, asObject, childObject, isJsonObject, type JsonObject, setDefault } from "../json.ts";
import { defineKind, type Kind } from "../kind.ts";
import { label1035Problem, label1123Problem } from "../names.ts";
import { ageColumn, column, labelText, listAt, nameColumn, wide } from "./columns.ts";

const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const firstNodePort = 30_000;
const lastNodePort = 32_767;

function needsClusterIp(spec: JsonObject): boolean {
  return spec.type !== "ExternalName" && spec.clusterIP !== "None";
}

function needsNodePorts(spec: JsonObject): boolean {
  return spec.type === "NodePort" || spec.type === "LoadBalancer";
}

function defaultService(object: ApiObject): void {
  const spec = childObject(object, "spec");
  setDefault(spec, "type", "ClusterIP");
  setDefault(spec, "sessionAffinity", "None");
  if (isJsonObject(spec.selector) && Object.keys(spec.selector).length === 0) delete spec.selector;
  if (Array.isArray(spec.ports) && spec.ports.length === 0) delete spec.ports;
  for (const port of asArray(spec.ports)) {
    if (!isJsonObject(port)) continue;
    setDefault(port, "protocol", "TCP");
    if (port.nodePort === 0) delete port.nodePort;
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === "") port.targetPort = port.port;
  }
  if (spec.type === "ExternalName") {
    delete spec.clusterIP;
    delete spec.clusterIPs;
    return;
  }
  setDefault(spec, "internalTrafficPolicy", "Cluster");
  if (needsNodePorts(spec)) setDefault(spec, "externalTrafficPolicy", "Cluster");
  setDefault(spec, "ipFamilies", ["IPv4"]);
  setDefault(spec, "ipFamilyPolicy", "SingleStack");
  if (spec.clusterIP === "" || spec.clusterIP === null) delete spec.clusterIP;
  if (spec.clusterIP === undefined && asArray(spec.clusterIPs).length > 0) spec.clusterIP = asArray(spec.clusterIPs)[0];
  if (spec.clusterIP !== undefined) setDefault(spec, "clusterIPs", [spec.clusterIP]);
}

/** A PUT that leaves out what the server allocated keeps it, so that the manifest a user holds can be applied again. */
function keepAllocated(object: ApiObject, previous: ApiObject): void {
  const spec = asObject(object.spec);
  const old = asObject(previous.spec);
  if (spec.type === "ExternalName" || old.type === "ExternalName") return;
  if (spec.clusterIP === undefined || spec.clusterIP === "") spec.clusterIP = old.clusterIP;
  if (asArray(spec.clusterIPs).length === 0) spec.clusterIPs = old.clusterIPs;
  if (!needsNodePorts(spec)) {
    for (const port of asArray(spec.ports)) if (isJsonObject(port)) delete port.nodePort;
    delete spec.externalTrafficPolicy;
    return;
  }
  const nodePorts = new Map(
    asArray(old.ports).map((port) => [`${asObject(port).protocol}/${asObject(port).port}`, asObject(port).nodePort]),
  );
  for (const port of asArray(spec.ports).filter(isJsonObject)) {
    const kept = nodePorts.get(`${port.protocol ?? "TCP"}/${port.port}`);
    if (port.nodePort === undefined && kept !== undefined) port.nodePort = kept;
  }
}

function validatePort(port: JsonObject, path: string, nameRequired: boolean): FieldError[] {
  const problems: FieldError[] = [];
  const name = port.name;
  if (nameRequired && (name === undefined || name === "")) problems.push(required(`${path}.name`));
  else if (typeof name === "string" && name !== "" && label1123Problem(name) !== undefined) {
    problems.push(invalid(`${path}.name`, name, label1123Problem(name)!));
  }
  if (typeof port.port !== "number" || !Number.isInteger(port.port) || port.port < 1 || port.port > 65_535) {
    problems.push(invalid(`${path}.port`, port.port ?? 0, "must be between 1 and 65535, inclusive"));
  }
  if (!["TCP", "UDP", "SCTP"].includes(String(port.protocol))) {
    problems.push(notSupported(`${path}.protocol`, port.protocol, ["SCTP", "TCP", "UDP"]));
  }
  const target = port.targetPort;
  if (typeof target === "number" && (target < 1 || target > 65_535)) {
    problems.push(invalid(`${path}.targetPort`, target, "must be between 1 and 65535, inclusive"));
  } else if (typeof target === "string" && (target.length > 15 || label1123Problem(target) !== undefined)) {
    problems.push(invalid(`${path}.targetPort`, target, "must be no more than 15 characters"));
  }
  return problems;
}

function validateService(object: ApiObject, previous: ApiObject | undefined): FieldError[] {
  const spec = asObject(object.spec);
  const problems: FieldError[] = [];
  if (!types.includes(String(spec.type))) problems.push(notSupported("spec.type", spec.type, types));
  if (spec.type === "ExternalName") {
    if (!spec.externalName) problems.push(required("spec.externalName"));
  }
  const ports = asArray(spec.ports).map(asObject);
  if (ports.length === 0 && needsClusterIp(spec)) problems.push(required("spec.ports"));
  const names = new Set<unknown>();
  const seen = new Set<string>();
  for (const [index, port] of ports.entries()) {
    problems.push(...validatePort(port, `spec.ports[${index}]`, ports.length > 1));
    if (port.name && names.has(port.name)) problems.push(duplicate(`spec.ports[${index}].name`, port.name));
    names.add(port.name);
    const key = `${port.protocol}/${port.port}`;
    if (seen.has(key)) {
      problems.push(duplicate(`spec.ports[${index}]`, { protocol: port.protocol, port: port.port }));
    }
    seen.add(key);
  }
  const old = asObject(previous?.spec);
  if (previous !== undefined && needsClusterIp(old) && spec.type !== "ExternalName" && old.type !== "ExternalName") {
    if (spec.clusterIP !== old.clusterIP) {
      problems.push(invalid("spec.clusterIPs[0]", [spec.clusterIP], "may not change once set"));
    }
  } else if (
    previous !== undefined &&
    old.clusterIP === "None" &&
    spec.type !== "ExternalName" &&
    spec.clusterIP !== "None"
  ) {
    problems.push(invalid("spec.clusterIPs[0]", [spec.clusterIP], "may not change once set"));
  }
  const { sessionAffinity } = spec;
  if (sessionAffinity !== "None" && sessionAffinity !== "ClientIP") {
    problems.push(notSupported("spec.sessionAffinity", sessionAffinity, ["ClientIP", "None"]));
  }
  return problems;
}

function portText(port: JsonObject): string {
  const nodePort = typeof port.nodePort === "number" ? `:${port.nodePort}` : "";
  return `${port.port}${nodePort}/${port.protocol}`;
}

/** Services with cluster addresses from `pool` and node ports from 30000 on. */
export function serviceKind(pool: AddressPool): Kind {
  const nodePorts = new Set<number>();

  function allocateNodePorts(spec: JsonObject): void {
    if (!needsNodePorts(spec)) return;
    for (const port of asArray(spec.ports).filter(isJsonObject)) {
      if (typeof port.nodePort !== "number") {
        let candidate = firstNodePort;
        while (nodePorts.has(candidate) && candidate < lastNodePort) candidate += 1;
        port.nodePort = candidate;
      }
      nodePorts.add(Number(port.nodePort));
    }
  }

  function allocate(object: ApiObject, previous: ApiObject | undefined): FieldError[] {
    const spec = asObject(object.spec);
    const old = asObject(previous?.spec);
    if (needsClusterIp(spec) && spec.clusterIP === undefined) {
      const address = pool.allocate();
      if (address === undefined)
        return [invalid("spec.clusterIPs", [], `failed to allocate IP: range ${pool.cidr} is full`)];
      spec.clusterIP = address;
      spec.clusterIPs = [address];
    } else if (needsClusterIp(spec) && spec.clusterIP !== old.clusterIP) {
      const problem = pool.reserve(String(spec.clusterIP));
      if (problem === "taken") {
        return [
          invalid("spec.clusterIPs", [spec.clusterIP], "failed to allocate IP: provided IP is already allocated"),
        ];
      }
      if (problem === "outside") {
        const text = `failed to allocate IP: the provided IP (${spec.clusterIP}) is not in the valid range. The range of valid IPs is ${pool.cidr}`;
        return [invalid("spec.clusterIPs", [spec.clusterIP], text)];
      }
    }
    allocateNodePorts(spec);
    return [];
  }

  return defineKind({
    resource: resources.services,
    shortNames: ["svc"],
    categories: ["all"],
    hasStatus: true,
    createOnUpdate: true,
    returnsDeleted: true,
    selectableFields: ["spec.clusterIP", "spec.type"],
    validateName: label1035Problem,
    prepareCreate(object) {
      defaultService(object);
      object.status = { loadBalancer: {} };
    },
    prepareUpdate(object, previous) {
      keepAllocated(object, previous);
      defaultService(object);
      object.status = previous.status;
    },
    validate: validateService,
    allocate,
    released(object) {
      const spec = asObject(object.spec);
      if (typeof spec.clusterIP === "string") pool.release(spec.clusterIP);
      for (const port of asArray(spec.ports)) nodePorts.delete(Number(asObject(port).nodePort));
    },
    columns: [
      nameColumn,
      column("Type", (object) => asObject(object.spec).type),
      column("Cluster-IP", (object) => asObject(object.spec).clusterIP ?? "<none>"),
      column("External-IP", (object) => asObject(object.spec).externalName ?? "<none>"),
      column("Port(s)", (object) => listAt(object, "spec", "ports").map(portText).join(",") || "<none>"),
      ageColumn,
      column("Selector", (object) => labelText(asObject(object.spec).selector), wide),
    ],
  });
}
