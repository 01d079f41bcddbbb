import { isIP } from "node:net";
import { resources } from "@elasti/kube";
import { duplicate, type FieldError, immutable, invalid, notSupported, required, tooMany } from "../field-error.ts";
import { type ApiObject, asArray, asObject, isJsonObject, jsonEqual, setDefault } from "../json.ts";
import { defineKind, type Kind } from "../kind.ts";
import { subdomainProblem } from "../names.ts";
import { ageColumn, column, listAt, nameColumn } from "./columns.ts";

function validateAddress(addressType: unknown, address: unknown, path: string): FieldError[] {
  if (addressType === "FQDN") {
    const problem = subdomainProblem(String(address));
    return problem === undefined ? [] : [invalid(path, address, problem)];
  }
  // loopback and link-local addresses are refused by the real server; here pods live on 127/8
  const family = addressType === "IPv4" ? 4 : 6;
  if (isIP(String(address)) === family) return [];
  return [invalid(path, address, family === 4 ? "must be an IPv4 address" : "must be an IPv6 address")];
}

function validatePorts(object: ApiObject): FieldError[] {
  const problems: FieldError[] = [];
  const names = new Set<unknown>();
  for (const [index, entry] of asArray(object.ports).map(asObject).entries()) {
    const path = `ports[${index}]`;
    if (names.has(entry.name)) problems.push(duplicate(`${path}.name`, entry.name));
    names.add(entry.name);
    if (!["TCP", "UDP", "SCTP"].includes(String(entry.protocol))) {
      problems.push(notSupported(`${path}.protocol`, entry.protocol, ["SCTP", "TCP", "UDP"]));
    }
    if (typeof entry.port === "number" && (entry.port < 1 || entry.port > 65_535)) {
      problems.push(invalid(`${path}.port`, entry.port, "must be between 1 and 65535, inclusive"));
    }
  }
  return problems;
}

function validateSlice(object: ApiObject, previous: ApiObject | undefined): FieldError[] {
  const problems: FieldError[] = [];
  const { addressType } = object;
  if (addressType === undefined || addressType === "") problems.push(required("addressType"));
  else if (!["IPv4", "IPv6", "FQDN"].includes(String(addressType))) {
    problems.push(notSupported("addressType", addressType, ["FQDN", "IPv4", "IPv6"]));
  } else if (previous !== undefined && previous.addressType !== addressType) {
    problems.push(immutable("addressType", addressType));
  }
  const endpoints = asArray(object.endpoints).map(asObject);
  if (endpoints.length > 1_000) problems.push(tooMany("endpoints", endpoints.length, 1_000));
  for (const [index, endpoint] of endpoints.entries()) {
    const addresses = asArray(endpoint.addresses);
    const path = `endpoints[${index}].addresses`;
    if (addresses.length === 0) problems.push(required(path, "must contain at least 1 address"));
    if (addresses.length > 100) problems.push(tooMany(path, addresses.length, 100));
    for (const [at, address] of addresses.entries()) {
      problems.push(...validateAddress(addressType, address, `${path}[${at}]`));
    }
  }
  return [...problems, ...validatePorts(object)];
}

function normalise(object: ApiObject): void {
  // Go writes an empty list without omitempty as null, and so does every real server for a slice without endpoints
  if (asArray(object.endpoints).length === 0) object.endpoints = null;
  if (asArray(object.ports).length === 0) object.ports = null;
  for (const port of asArray(object.ports)) {
    if (!isJsonObject(port)) continue;
    setDefault(port, "name", "");
    setDefault(port, "protocol", "TCP");
  }
  for (const endpoint of asArray(object.endpoints)) if (isJsonObject(endpoint)) setDefault(endpoint, "conditions", {});
}

function summary(items: string[]): string {
  if (items.length === 0) return "<unset>";
  return items.length <= 3 ? items.join(",") : `${items.slice(0, 3).join(",")} + ${items.length - 3} more...`;
}

export const endpointSliceKind: Kind = defineKind({
  resource: resources.endpointSlices,
  movesGeneration: (object, previous) =>
    !jsonEqual(object.endpoints, previous.endpoints) ||
    !jsonEqual(object.ports, previous.ports) ||
    !jsonEqual(object.addressType, previous.addressType) ||
    !jsonEqual(object.metadata.labels ?? {}, previous.metadata.labels ?? {}),
  prepareCreate: normalise,
  prepareUpdate: normalise,
  validate: validateSlice,
  columns: [
    nameColumn,
    column("AddressType", (object) => object.addressType),
    column("Ports", (object) => summary(listAt(object, "ports").map((port) => String(port.port ?? "*")))),
    column("Endpoints", (object) =>
      summary(listAt(object, "endpoints").flatMap((entry) => asArray(entry.addresses).map(String))),
    ),
    ageColumn,
  ],
});
