import { type ApiObject, isJsonObject } from "./json.ts";
import { collectionOf, fieldText, type Kind } from "./kind.ts";
import { labelsOf, parseFieldSelector, parseLabelSelector } from "./selectors.ts";
import { badRequest, expired, invalidObject, StatusError, tooLargeResourceVersion } from "./status-error.ts";
import { keyOf, type Store } from "./store.ts";

/** One page of a list. */
export interface Page {
  readonly items: readonly ApiObject[];
  readonly resourceVersion: string;
  readonly continueToken?: string;
  readonly remaining?: number;
}

/** Whether an object is in the request's selection (namespace, label and field selectors). Throws 400. */
export function parseSelection(
  kind: Kind,
  namespace: string | undefined,
  query: URLSearchParams,
): (object: ApiObject) => boolean {
  const byLabel = parseLabelSelector(query.get("labelSelector"));
  const fields = ["metadata.name", "metadata.namespace", ...kind.selectableFields];
  const selector = query.get("fieldSelector") ?? "";
  const byField = parseFieldSelector(selector, new Set(fields));
  const hasFields = selector !== "";
  return (object) => {
    if (namespace !== undefined && object.metadata.namespace !== namespace) return false;
    if (!byLabel(labelsOf(object))) return false;
    if (!hasFields) return true;
    return byField(Object.fromEntries(fields.map((field) => [field, fieldText(object, field)])));
  };
}

/** A resourceVersion of a query: undefined when absent. Throws 400 for what is not a number. */
export function parseRevision(text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  if (!/^\d+$/.test(text))
    throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(text)}: must be a number`);
  return Number(text);
}

const listOptions = {
  group: "meta.k8s.io",
  version: "v1",
  plural: "listoptions",
  kind: "ListOptions",
  namespaced: false,
};

export function optionsProblem(field: string, reason: string, message: string): StatusError {
  return invalidObject(listOptions, "", [{ field, reason, message }]);
}

function checkOptions(query: URLSearchParams): void {
  const match = query.get("resourceVersionMatch") ?? "";
  const revision = query.get("resourceVersion") ?? "";
  const token = query.get("continue") ?? "";
  const forbid = (message: string) =>
    optionsProblem("resourceVersionMatch", "FieldValueForbidden", `Forbidden: ${message}`);
  if (token !== "" && revision !== "" && revision !== "0") {
    throw badRequest("specifying resource version is not allowed when using continue");
  }
  if (match === "") return;
  if (revision === "") throw forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
  if (token !== "") throw forbid("resourceVersionMatch is forbidden when continue is provided");
  if (match !== "Exact" && match !== "NotOlderThan") {
    const text = `Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan", ""`;
    throw optionsProblem("resourceVersionMatch", "FieldValueNotSupported", text);
  }
  if (match === "Exact" && revision === "0") {
    throw forbid('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  }
}

interface ContinueToken {
  /** Revision of the first page; -1 asks for the rest as it is now, after an expired token. */
  readonly rv: number;
  /** The last key that was given out. */
  readonly after: string;
}

function encodeToken(token: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", ...token })).toString("base64url");
}

function decodeToken(text: string): ContinueToken {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    if (isJsonObject(value) && typeof value.rv === "number" && typeof value.after === "string") {
      return { rv: value.rv, after: value.after };
    }
  } catch {
    // said below: whatever is wrong with a token, the answer is the same
  }
  throw badRequest("continue key is not valid: it was not made by this server");
}

const expiredToken =
  "The provided continue parameter is too old to display a consistent list result. You can start a new list without " +
  "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
  "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or " +
  "deleted between the time the first chunk was returned and now may show up in the list.";

/** Lists by the rules of resourceVersion, resourceVersionMatch, limit and continue. Throws what the GET answers. */
export function listObjects(store: Store, kind: Kind, namespace: string | undefined, query: URLSearchParams): Page {
  checkOptions(query);
  const collection = collectionOf(kind.resource);
  const selected = parseSelection(kind, namespace, query);
  const asked = parseRevision(query.get("resourceVersion"));
  if (asked !== undefined && asked > store.revision) throw tooLargeResourceVersion(asked, store.revision);
  const limitText = query.get("limit") ?? "0";
  if (!/^\d+$/.test(limitText)) throw badRequest(`limit: Invalid value: ${JSON.stringify(limitText)}`);
  // a list from any revision comes from the watch cache, which knows no pages
  const limit = asked === 0 ? 0 : Number(limitText);
  const tokenText = query.get("continue") ?? "";
  const token = tokenText === "" ? undefined : decodeToken(tokenText);

  let revision = token === undefined ? store.revision : token.rv < 0 ? store.revision : token.rv;
  let source: Iterable<ApiObject> = store.values(collection, namespace);
  const match = query.get("resourceVersionMatch");
  const exact = asked !== undefined && asked > 0 && (match === "Exact" || (limit > 0 && match === null));
  if (exact) revision = asked;
  if (revision < store.revision) {
    try {
      source = store.at(collection, revision);
    } catch (error) {
      if (!(error instanceof StatusError) || error.code !== 410) throw error;
      if (token === undefined) throw expired("The resourceVersion for the provided list is too old.");
      throw expired(expiredToken, encodeToken({ rv: -1, after: token.after }));
    }
  }
  const found: { key: string; object: ApiObject }[] = [];
  for (const object of source) {
    const key = keyOf(object);
    if ((token === undefined || key > token.after) && selected(object)) found.push({ key, object });
  }
  found.sort((a, b) => (a.key < b.key ? -1 : 1));
  const page = limit > 0 && found.length > limit ? found.slice(0, limit) : found;
  const items = page.map(({ object }) => object);
  if (page.length === found.length) return { items, resourceVersion: String(revision) };
  const unselected = (query.get("labelSelector") ?? "") === "" && (query.get("fieldSelector") ?? "") === "";
  return {
    items,
    resourceVersion: String(revision),
    continueToken: encodeToken({ rv: revision, after: page.at(-1)!.key }),
    ...(unselected ? { remaining: found.length - page.length } : {}),
  };
}
