import type { Resource } from "@elasti/kube";
import type { FieldError } from "./field-error.ts";
import { type ApiObject, asObject, jsonEqual } from "./json.ts";

/** A column of `kubectl get`. Priority 0 is always shown, 1 with `-o wide`. */
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
  value(object: ApiObject, nowMs: number): unknown;
}

/** Where a kind keeps what its scale subresource shows; paths are field names from the root. */
export interface ScaleFields {
  readonly specReplicas: readonly string[];
  readonly statusReplicas: readonly string[];
  /** Serialised label selector of the pods, for autoscalers. */
  selector(object: ApiObject): string;
}

/** What a kind does in its own way; everything else is the same for all and stands in objects.ts. */
export interface Kind {
  readonly resource: Resource;
  readonly singular: string;
  readonly listKind: string;
  /** Comes from a CustomResourceDefinition. */
  readonly custom: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly hasStatus: boolean;
  readonly scale?: ScaleFields;
  /** PUT of a missing object creates it. */
  readonly createOnUpdate: boolean;
  /** PUT without a resourceVersion is accepted. */
  readonly unconditionalUpdate: boolean;
  /** DELETE answers with the object instead of a Status. */
  readonly returnsDeleted: boolean;
  /** Fields beyond metadata.name and metadata.namespace that a fieldSelector may name. */
  readonly selectableFields: readonly string[];
  readonly columns: readonly Column[];
  /** Whether an update raises metadata.generation; kinds without it have no generation. */
  readonly movesGeneration?: (object: ApiObject, previous: ApiObject) => boolean;
  /** Drops and defaults fields as the schema says; returns the paths of unknown fields that were dropped. */
  readonly decode?: (object: ApiObject) => string[];
  /** Sets defaults on a private copy before validation. */
  readonly prepareCreate?: (object: ApiObject) => void;
  readonly prepareUpdate?: (object: ApiObject, previous: ApiObject) => void;
  readonly validateName?: (name: string) => string | undefined;
  readonly validate?: (object: ApiObject, previous: ApiObject | undefined) => FieldError[];
  /** Allocations that may fail, after validation and before the write (addresses, ports). */
  readonly allocate?: (object: ApiObject, previous: ApiObject | undefined) => FieldError[];
  /** Called after the object is gone, to give back what `allocate` took. */
  readonly released?: (object: ApiObject) => void;
  /** Seconds between DELETE and removal when none are asked for; without it objects go at once. */
  readonly defaultGraceSeconds?: (object: ApiObject) => number;
  /** The object that a write to the status subresource gives, from what was sent and what is stored. */
  readonly mergeStatus?: (sent: ApiObject, previous: ApiObject) => ApiObject;
}

/** `group/plural`, the name of the kind's collection in the store. */
export function collectionOf(resource: Resource): string {
  return `${resource.group}/${resource.plural}`;
}

export function apiVersionOf(resource: Resource): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

type Defaulted =
  | "singular"
  | "listKind"
  | "custom"
  | "shortNames"
  | "categories"
  | "hasStatus"
  | "createOnUpdate"
  | "unconditionalUpdate"
  | "returnsDeleted"
  | "selectableFields"
  | "columns";

/** Fills in what most kinds share. */
export function defineKind(kind: Omit<Kind, Defaulted> & Partial<Pick<Kind, Defaulted>>): Kind {
  return {
    singular: kind.resource.kind.toLowerCase(),
    listKind: `${kind.resource.kind}List`,
    custom: false,
    shortNames: [],
    categories: [],
    hasStatus: false,
    createOnUpdate: false,
    unconditionalUpdate: true,
    returnsDeleted: false,
    selectableFields: [],
    columns: [],
    ...kind,
  };
}

export function specMoved(object: ApiObject, previous: ApiObject): boolean {
  return !jsonEqual(object.spec, previous.spec);
}

/** The text of a dotted field, as field selectors compare it; empty when it is missing. */
export function fieldText(object: ApiObject, path: string): string {
  let value: unknown = object;
  for (const part of path.split(".")) value = asObject(value)[part];
  return value === undefined || value === null ? "" : String(value);
}
