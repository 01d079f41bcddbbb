/** A request for objects, as its path names it. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/**
 * `/api/v1/...` and `/apis/<group>/<version>/...`; undefined for every other path, discovery among them.
 */
export function parseResourcePath(path: string): ResourcePath | undefined {
  let parts: string[];
  try {
    parts = path.split("/").slice(1).map(decodeURIComponent);
  } catch {
    return undefined;
  }
  if (parts.at(-1) === "") parts.pop();
  const root = parts.shift();
  if (root !== "api" && root !== "apis") return undefined;
  const group = root === "api" ? "" : parts.shift();
  const version = parts.shift();
  if (group === undefined || version === undefined || parts.length === 0) return undefined;
  let namespace: string | undefined;
  // `namespaces/x` and its subresources are the namespace itself, `namespaces/x/<plural>` what lives in it
  if (parts[0] === "namespaces" && parts.length > 2 && !(group === "" && ["status", "finalize"].includes(parts[2]!))) {
    namespace = parts[1];
    parts.splice(0, 2);
  }
  const [plural = "", name, subresource, ...rest] = parts;
  if (rest.length > 0 || plural === "") return undefined;
  return { group, version, plural, namespace, name, subresource };
}
