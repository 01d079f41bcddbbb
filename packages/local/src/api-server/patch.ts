import { applyPatch, type Operation } from "rfc6902";
import { asArray, cloneJson, isJsonObject, type JsonObject } from "./json.ts";
import { badRequest, StatusError } from "./status-error.ts";

export const jsonPatchType = "application/json-patch+json";
export const mergePatchType = "application/merge-patch+json";
export const applyPatchType = "application/apply-patch+yaml";

/** RFC 7386 on a private copy: null removes, maps merge, everything else replaces. */
export function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete target[key];
    else if (isJsonObject(value)) target[key] = mergePatch(isJsonObject(target[key]) ? target[key] : {}, value);
    else target[key] = value;
  }
  return target;
}

const operations = new Set(["add", "remove", "replace", "move", "copy", "test"]);

function isOperation(value: unknown): value is Operation {
  return isJsonObject(value) && operations.has(String(value.op)) && typeof value.path === "string";
}

/** RFC 6902 on a private copy. A failed test or a missing path is 422, as in the real server. */
export function jsonPatch(target: JsonObject, patch: unknown): JsonObject {
  if (!Array.isArray(patch) || !asArray(patch).every(isOperation)) {
    throw badRequest("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch");
  }
  const failed = applyPatch(target, patch as Operation[]).find((problem) => problem !== null);
  if (failed !== undefined) {
    throw new StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {});
  }
  return target;
}

/** The object that a merge or json patch makes of a stored one, as a private copy. */
export function patched(current: object, type: string, patch: unknown): JsonObject {
  const target = cloneJson(current) as JsonObject;
  if (type === jsonPatchType) return jsonPatch(target, patch);
  if (!isJsonObject(patch)) throw badRequest("error decoding patch: a merge patch must be an object");
  return mergePatch(target, patch);
}
