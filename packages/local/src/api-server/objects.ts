import { randomUUID } from "node:crypto";
import type { Clock } from "@elasti/core";
import type { ObjectMeta } from "@elasti/kube";
import { type FieldError, invalid } from "./field-error.ts";
import { type ApiObject, cloneJson, isJsonObject, jsonEqual, sortedKeys } from "./json.ts";
import { apiVersionOf, collectionOf, type Kind } from "./kind.ts";
import { type FieldWriter, trackFields } from "./managed-fields.ts";
import { carriedMetadata, checkNamespace, compactMetadata, validateMetadataUpdate } from "./metadata.ts";
import { generateName, subdomainProblem, validateMetadata } from "./names.ts";
import {
  alreadyExists,
  badRequest,
  conflict,
  forbiddenRequest,
  invalidObject,
  notFound,
  StatusError,
} from "./status-error.ts";
import { objectKey, type Store } from "./store.ts";

export interface WriteContext {
  /** Field manager of the write, for metadata.managedFields. */
  readonly manager: string;
  /** Compute and answer, but store nothing. */
  readonly dryRun?: boolean;
  readonly subresource?: "status" | "scale";
  /** A server-side apply: the new object already carries its managedFields. */
  readonly applied?: boolean;
}

export interface DeleteOptions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: string | undefined;
  readonly dryRun?: boolean;
}

export interface DeleteResult {
  readonly object: ApiObject;
  /** False while finalizers or a grace period keep the object. */
  readonly removed: boolean;
}

const dependentsFinalizers = ["orphan", "foregroundDeletion"];

/** Creates, changes and deletes objects of any kind by the rules that all kinds share (registry/generic in Kubernetes). */
export class Objects {
  readonly store: Store;
  readonly #clock: Clock;
  readonly #namespaceKind: Kind;

  constructor(options: { store: Store; clock: Clock; namespaceKind: Kind }) {
    this.store = options.store;
    this.#clock = options.clock;
    this.#namespaceKind = options.namespaceKind;
  }

  /** Throws 404. */
  get(kind: Kind, namespace: string | undefined, name: string): ApiObject {
    const object = this.find(kind, namespace, name);
    if (object === undefined) throw notFound(kind.resource, name);
    return object;
  }

  find(kind: Kind, namespace: string | undefined, name: string): ApiObject | undefined {
    return this.store.get(collectionOf(kind.resource), objectKey(namespace, name));
  }

  /** `object` must be private to the caller. Throws what a POST answers. */
  create(kind: Kind, namespace: string | undefined, object: ApiObject, context: WriteContext): ApiObject {
    const { resource } = kind;
    object.metadata = this.#newMetadata(kind, namespace, object.metadata);
    const { name } = object.metadata;
    if (namespace !== undefined) this.#requireActiveNamespace(kind, namespace, name);
    kind.prepareCreate?.(object);
    object.metadata = { ...object.metadata, ...(kind.movesGeneration === undefined ? {} : { generation: 1 }) };
    const problems = [
      ...this.#validateName(kind, name),
      ...validateMetadata(object),
      ...(kind.validate?.(object, undefined) ?? []),
    ];
    if (problems.length > 0) throw invalidObject(resource, name, problems);
    if (this.find(kind, namespace, name) !== undefined) throw alreadyExists(resource, name);
    if (context.dryRun === true) return object;
    const unallocated = kind.allocate?.(object, undefined) ?? [];
    if (unallocated.length > 0) throw invalidObject(resource, name, unallocated);
    trackFields(undefined, object, this.#writer(kind, context));
    return this.#put(kind, object);
  }

  /**
   * Changes an object: `compute` gives the new one from the stored one (what a PUT sent, or what a patch made) and must
   * return a private copy. Nothing is written when the result is the same. Throws what a PUT or PATCH answers.
   */
  update(
    kind: Kind,
    namespace: string | undefined,
    name: string,
    compute: (current: ApiObject) => ApiObject,
    context: WriteContext & { requireVersion?: boolean },
  ): ApiObject {
    const { resource } = kind;
    const previous = this.get(kind, namespace, name);
    const sent = compute(previous);
    this.#checkIdentity(kind, sent, previous, context.requireVersion === true);
    const object = context.subresource === "status" ? statusUpdate(kind, sent, previous) : sent;
    object.apiVersion = previous.apiVersion;
    object.kind = previous.kind;
    object.metadata = carriedMetadata(object.metadata, previous.metadata);
    if (context.subresource !== "status") kind.prepareUpdate?.(object, previous);
    if (
      kind.movesGeneration !== undefined &&
      context.subresource !== "status" &&
      kind.movesGeneration(object, previous)
    ) {
      object.metadata.generation = (previous.metadata.generation ?? 0) + 1;
    }
    const problems = [
      ...validateMetadataUpdate(object.metadata, previous.metadata),
      ...validateMetadata(object),
      ...(kind.validate?.(object, previous) ?? []),
    ];
    if (problems.length > 0) throw invalidObject(resource, name, problems);
    if (context.dryRun === true) return object;
    const unallocated = kind.allocate?.(object, previous) ?? [];
    if (unallocated.length > 0) throw invalidObject(resource, name, unallocated);
    if (context.applied !== true) trackFields(previous, object, this.#writer(kind, context));
    return this.#commit(kind, object, previous);
  }

  /** Throws what a DELETE answers. */
  delete(kind: Kind, namespace: string | undefined, name: string, options: DeleteOptions = {}): DeleteResult {
    const current = this.get(kind, namespace, name);
    checkPreconditions(kind, current, options);
    const metadata: ObjectMeta = { ...current.metadata };
    const finalizers = deletionFinalizers(metadata.finalizers ?? [], options.propagationPolicy);
    const graceSeconds = this.#graceSeconds(kind, current, options);
    const terminating = metadata.deletionTimestamp !== undefined;
    const mustStay =
      finalizers.length > 0 ||
      graceSeconds > 0 ||
      (kind === this.#namespaceKind && namespaceFinalizers(current).length > 0);
    if (!mustStay) {
      if (options.dryRun !== true) this.#remove(kind, current);
      return { object: current, removed: true };
    }
    const shorter = graceSeconds < (metadata.deletionGracePeriodSeconds ?? Number.POSITIVE_INFINITY);
    const moved = !jsonEqual(finalizers, metadata.finalizers ?? []);
    if (terminating && !shorter && !moved) return { object: current, removed: false };
    metadata.finalizers = finalizers;
    if (!terminating || shorter) {
      metadata.deletionTimestamp = this.timestamp(graceSeconds * 1_000);
      metadata.deletionGracePeriodSeconds = graceSeconds;
    }
    // controllers of an object that goes have something to do, so its generation moves
    if (!terminating && metadata.generation !== undefined) metadata.generation += 1;
    const object: ApiObject = { ...current, metadata: compactMetadata(metadata) };
    if (kind === this.#namespaceKind) {
      object.status = { phase: "Terminating" };
      delete metadata.deletionGracePeriodSeconds;
    }
    if (options.dryRun === true) return { object, removed: false };
    return { object: this.#put(kind, object), removed: false };
  }

  /** RFC 3339 in whole seconds, as metav1.Time. */
  timestamp(offsetMs = 0): string {
    return `${new Date(this.#clock.now() + offsetMs).toISOString().slice(0, 19)}Z`;
  }

  /** Stores a change of our own (garbage collection, namespace status) without validation. */
  commitOwn(kind: Kind, object: ApiObject): ApiObject {
    const previous = this.get(kind, object.metadata.namespace, object.metadata.name);
    return this.#commit(kind, object, previous);
  }

  #commit(kind: Kind, object: ApiObject, previous: ApiObject): ApiObject {
    object.metadata = compactMetadata(object.metadata);
    const { finalizers = [], deletionTimestamp, deletionGracePeriodSeconds } = object.metadata;
    const kept =
      kind === this.#namespaceKind ? namespaceFinalizers(object).length > 0 : (deletionGracePeriodSeconds ?? 1) > 0;
    if (deletionTimestamp !== undefined && finalizers.length === 0 && !kept) {
      this.#remove(kind, previous);
      return object;
    }
    // a write that changes nothing does not move the revision
    if (jsonEqual(object, previous)) return previous;
    return this.#put(kind, object);
  }

  /** Go gives out the fields of what has no type of its own in alphabetical order, and so does the real API server. */
  #put(kind: Kind, object: ApiObject): ApiObject {
    return this.store.put(collectionOf(kind.resource), kind.custom ? sortedKeys(object) : object);
  }

  #remove(kind: Kind, object: ApiObject): void {
    const { namespace, name } = object.metadata;
    this.store.remove(collectionOf(kind.resource), objectKey(namespace, name));
    kind.released?.(object);
  }

  #newMetadata(kind: Kind, namespace: string | undefined, sent: ObjectMeta): ObjectMeta {
    const metadata = compactMetadata(sent);
    const { resource } = kind;
    if (sent.resourceVersion !== undefined && sent.resourceVersion !== "" && sent.resourceVersion !== "0") {
      throw new StatusError(500, "", "resourceVersion should not be set on objects to be created");
    }
    if (metadata.name === undefined || metadata.name === "") {
      if (metadata.generateName === undefined || metadata.generateName === "") {
        throw invalidObject(resource, "", [
          {
            reason: "FieldValueRequired",
            field: "metadata.name",
            message: "Required value: name or generateName is required",
          },
        ]);
      }
      metadata.name = generateName(metadata.generateName);
    }
    checkNamespace(namespace, metadata);
    delete metadata.resourceVersion;
    delete metadata.deletionTimestamp;
    delete metadata.deletionGracePeriodSeconds;
    delete metadata.generation;
    delete metadata.managedFields;
    if (namespace === undefined) delete metadata.namespace;
    else metadata.namespace = namespace;
    metadata.uid = randomUUID();
    metadata.creationTimestamp = this.timestamp();
    return metadata;
  }

  #requireActiveNamespace(kind: Kind, namespace: string, name: string): void {
    const found = this.store.get(collectionOf(this.#namespaceKind.resource), objectKey("", namespace));
    if (found === undefined) throw notFound(this.#namespaceKind.resource, namespace);
    if (found.metadata.deletionTimestamp === undefined) return;
    throw forbiddenRequest(
      kind.resource,
      name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
      [
        {
          reason: "NamespaceTerminating",
          message: `namespace ${namespace} is being terminated`,
          field: "metadata.namespace",
        },
      ],
    );
  }

  #validateName(kind: Kind, name: string): FieldError[] {
    const problem = (kind.validateName ?? subdomainProblem)(name);
    return problem === undefined ? [] : [invalid("metadata.name", name, problem)];
  }

  #checkIdentity(kind: Kind, sent: ApiObject, previous: ApiObject, requireVersion: boolean): void {
    const { resource } = kind;
    const { metadata } = sent;
    const { name } = previous.metadata;
    if (metadata.name !== undefined && metadata.name !== "" && metadata.name !== name) {
      throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`);
    }
    metadata.name = name;
    checkNamespace(previous.metadata.namespace, metadata);
    if (metadata.uid !== undefined && metadata.uid !== "" && metadata.uid !== previous.metadata.uid) {
      throw conflict(
        resource,
        name,
        `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${previous.metadata.uid}`,
      );
    }
    const version = metadata.resourceVersion ?? "";
    if (version !== "" && version !== "0") {
      if (!/^\d+$/.test(version)) {
        throw invalidObject(resource, name, [invalid("metadata.resourceVersion", version, "must be a number")]);
      }
      if (version !== previous.metadata.resourceVersion) throw conflict(resource, name);
    } else if (requireVersion && !kind.unconditionalUpdate) {
      throw invalidObject({ ...resource, kind: resource.plural }, name, [
        invalid("metadata.resourceVersion", 0, "must be specified for an update"),
      ]);
    }
  }

  #graceSeconds(kind: Kind, current: ApiObject, options: DeleteOptions): number {
    if (kind.defaultGraceSeconds === undefined) return 0;
    const byDefault = kind.defaultGraceSeconds(current);
    if (byDefault === 0) return 0;
    return Math.max(0, options.gracePeriodSeconds ?? byDefault);
  }

  #writer(kind: Kind, context: WriteContext): FieldWriter {
    return {
      manager: context.manager,
      subresource: context.subresource,
      apiVersion: apiVersionOf(kind.resource),
      time: this.timestamp(),
    };
  }
}

function checkPreconditions(kind: Kind, current: ApiObject, options: DeleteOptions): void {
  const { uid, resourceVersion, name } = current.metadata;
  const named = { ...kind.resource, plural: kind.resource.kind };
  if (options.uid !== undefined && options.uid !== uid) {
    const text = `the UID in the precondition (${options.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`;
    throw conflict(named, name, text);
  }
  if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion) {
    const text = `the ResourceVersion in the precondition (${options.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`;
    throw conflict(named, name, text);
  }
}

/** The finalizers by which the garbage collector is told what to do with dependents. */
function deletionFinalizers(finalizers: readonly string[], policy: string | undefined): string[] {
  const wanted = policy === "Orphan" ? "orphan" : policy === "Foreground" ? "foregroundDeletion" : undefined;
  if (policy === undefined) return [...finalizers];
  const rest = finalizers.filter((finalizer) => !dependentsFinalizers.includes(finalizer));
  return wanted === undefined ? rest : [...rest, wanted];
}

function namespaceFinalizers(object: ApiObject): unknown[] {
  const spec = isJsonObject(object.spec) ? object.spec : {};
  return Array.isArray(spec.finalizers) ? spec.finalizers : [];
}

function statusUpdate(kind: Kind, sent: ApiObject, previous: ApiObject): ApiObject {
  if (kind.mergeStatus !== undefined) return kind.mergeStatus(sent, previous);
  const object = cloneJson(previous);
  if (sent.status === undefined || sent.status === null) delete object.status;
  else object.status = sent.status;
  if (sent.metadata.managedFields !== undefined) object.metadata.managedFields = sent.metadata.managedFields;
  return object;
}
