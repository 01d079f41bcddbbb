import { apiVersionOf, type Kind } from "./kind.ts";
import type { KindsRegistry } from "./kinds-registry.ts";

const protobufV2 = "application/com.github.proto-openapi.spec.v2";

/**
 * The least OpenAPI that kubectl asks for: whether the server validates fields itself. The paths say that it does (the
 * parameter fieldValidation), so that kubectl sends manifests as they are; there are no schemas of built-in kinds.
 */
export function openApiDocument(
  kinds: KindsRegistry,
  path: string,
  accept: string | undefined,
): { body: string; type: string } | undefined {
  if (path === "/openapi/v2") {
    // older clients read protobuf alone; an empty message is a document without definitions, and then nothing is checked
    const asked = accept ?? "";
    if (asked.includes(protobufV2)) return { body: "", type: `${protobufV2}.v1.0+protobuf` };
    return json({ swagger: "2.0", info, paths: {}, definitions: {} });
  }
  const groupVersions = new Set(kinds.all().map((kind) => `${rootOf(kind)}${apiVersionOf(kind.resource)}`));
  if (path === "/openapi/v3") {
    const paths = [...groupVersions].map((name) => [name, { serverRelativeURL: `/openapi/v3/${name}` }]);
    return json({ paths: Object.fromEntries(paths) });
  }
  const name = path.replace(/^\/openapi\/v3\//, "");
  if (!groupVersions.has(name)) return undefined;
  const served = kinds.all().filter((kind) => `${rootOf(kind)}${apiVersionOf(kind.resource)}` === name);
  return json({ openapi: "3.0.0", info, paths: Object.fromEntries(served.map(pathOf)), components: { schemas: {} } });
}

const info = { title: "Kubernetes", version: "v1.32.0+elasti" };

function rootOf(kind: Kind): string {
  return kind.resource.group === "" ? "api/" : "apis/";
}

function json(document: object): { body: string; type: string } {
  return { body: JSON.stringify(document), type: "application/json" };
}

function pathOf(kind: Kind): [string, object] {
  const { group, version, kind: name, plural, namespaced } = kind.resource;
  const place = namespaced ? "namespaces/{namespace}/" : "";
  const parameters = ["dryRun", "fieldManager", "fieldValidation"].map((parameter) => ({
    name: parameter,
    in: "query",
    schema: { type: "string", uniqueItems: true },
  }));
  const gvk = { "x-kubernetes-group-version-kind": { group, version, kind: name } };
  const operation = (action: string) => ({ parameters, responses: {}, "x-kubernetes-action": action, ...gvk });
  return [
    `/${rootOf(kind)}${apiVersionOf(kind.resource)}/${place}${plural}/{name}`,
    { put: operation("put"), patch: operation("patch") },
  ];
}
