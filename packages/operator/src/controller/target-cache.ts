import { type ElastiService, keyOf, OVERRIDE_ANNOTATION } from "@elasti/api";
import { Backoff, type Clock, errorCode, errorText, type Logger, type Metrics, type Timer } from "@elasti/core";
import {
  isForbidden,
  isNotFound,
  type KubeClient,
  type PodTemplate,
  Reflector,
  type Resource,
  type Store,
} from "@elasti/kube";
import type { CreateFailure } from "../failures/evidence.ts";
import { type TargetObject, trimTarget } from "./target-object.ts";

/** A kind as an ElastiService names it. */
export interface KindReference {
  readonly apiVersion: string;
  readonly kind: string;
}

export interface TargetReference extends KindReference {
  readonly namespace: string;
  readonly name: string;
}

export type TargetAnswer =
  | {
      readonly found: true;
      readonly ref: { readonly namespace: string; readonly resource: Resource; readonly name: string };
      /** spec.replicas, as the watch has it; 1 where it is left out, as for all workloads of Kubernetes. */
      readonly replicas: number;
      readonly statusReplicas: number;
      readonly resourceVersion: string;
      readonly uid: string | undefined;
      readonly generation: number | undefined;
      readonly observedGeneration: number | undefined;
      /** Pod template, for kinds that have it at spec.template. */
      readonly template: PodTemplate | undefined;
      /** Services that a Rollout of Argo names. */
      readonly rolloutServices: readonly string[] | undefined;
      readonly deleting: boolean;
      /** The record of an override in its annotations. */
      readonly override: string | undefined;
      /** Its controller could not make a pod of the present spec. */
      readonly createFailure: CreateFailure | undefined;
    }
  | {
      readonly found: false;
      /** TargetPending: not known yet, which is not the same as not there. */
      readonly reason:
        | "TargetPending"
        | "TargetMissing"
        | "TargetKindUnknown"
        | "TargetNotScalable"
        | "TargetUnreadable";
      readonly message: string;
    };

/** The part of the RestMapper that is needed. */
export interface KindMapper {
  /** @throws ELASTI_KUBE_NO_KIND, ELASTI_KUBE_NO_SCALE */
  mapScalable(reference: KindReference): Promise<Resource>;
}

/** The part of a Reflector that is needed. */
export interface TargetSource {
  readonly store: Store<TargetObject>;
  readonly synced: boolean;
  readonly lastError: unknown;
  start(): Promise<void>;
  close(): Promise<void>;
}

type Missing = Extract<TargetAnswer, { found: false }>;

interface Shared {
  readonly resource: Resource;
  readonly source: TargetSource;
  readonly stop: () => void;
  readonly kinds: Set<Kind>;
}

interface Kind {
  readonly reference: KindReference;
  /** `namespace/name` of the target by user. */
  readonly users: Map<string, string>;
  shared: Shared | undefined;
  failure: Missing | undefined;
  readonly backoff: Backoff;
  retry: Timer | undefined;
  mapping: boolean;
}

export interface TargetCacheDeps {
  readonly client: KubeClient;
  readonly mapper: KindMapper;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: Metrics;
  /** Those to be watched; all when empty. */
  readonly namespaces?: readonly string[];
  /** Replaces the reflectors in tests. */
  readonly sourceOf?: (resource: Resource) => TargetSource;
}

/** What a failed mapping says of a target. */
function failureOf(error: unknown): Missing {
  const code = errorCode(error);
  const reason =
    code === "ELASTI_KUBE_NO_KIND"
      ? "TargetKindUnknown"
      : code === "ELASTI_KUBE_NO_SCALE"
        ? "TargetNotScalable"
        : "TargetUnreadable";
  return { found: false, reason, message: errorText(error) };
}

/**
 * The targets of all ElastiServices, one watch per kind, only while somebody names the kind. Kinds that are installed later
 * and targets that are made later are found when they come.
 */
export class TargetCache {
  readonly #mapper: KindMapper;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #sourceOf: (resource: Resource) => TargetSource;
  readonly #kinds = new Map<string, Kind>();
  readonly #shared = new Map<string, Shared>();
  readonly #listeners = new Set<(user: string) => void>();
  readonly #closing: Promise<void>[] = [];
  #closed = false;

  constructor(deps: TargetCacheDeps) {
    this.#mapper = deps.mapper;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#sourceOf = deps.sourceOf ?? reflectorsOf(deps);
  }

  /** Wants the target of an ElastiService from now on, instead of what that one wanted before. @param user its `namespace/name` */
  want(user: string, target: TargetReference): void {
    if (this.#closed) return;
    const id = kindId(target);
    const address = keyOf(target.namespace, target.name);
    if (this.#kinds.get(id)?.users.get(user) === address) return;
    if (this.#kinds.get(id)?.users.has(user) !== true) this.forget(user);
    let kind = this.#kinds.get(id);
    if (kind === undefined) {
      kind = {
        reference: { apiVersion: target.apiVersion, kind: target.kind },
        users: new Map(),
        shared: undefined,
        failure: undefined,
        backoff: new Backoff(3_000, 30_000),
        retry: undefined,
        mapping: false,
      };
      this.#kinds.set(id, kind);
    }
    kind.users.set(user, address);
    if (kind.shared === undefined) void this.#map(kind);
  }

  /** The ElastiService is gone. */
  forget(user: string): void {
    for (const [id, kind] of this.#kinds) {
      if (!kind.users.delete(user) || kind.users.size > 0) continue;
      this.#kinds.delete(id);
      kind.retry?.cancel();
      if (kind.shared !== undefined) this.#leave(kind, kind.shared);
    }
  }

  /** Follows the ElastiServices of a store: what they name is wanted. @returns stops it */
  follow(store: Store<ElastiService & { metadata: { name: string } }>): () => void {
    return store.on(
      "change",
      ({ type, object }) => {
        const { namespace = "", name } = object.metadata;
        const user = keyOf(namespace, name);
        if (type === "deleted") this.forget(user);
        else this.want(user, { namespace, ...object.spec.scaleTargetRef });
      },
      { replay: true },
    );
  }

  get(target: TargetReference): TargetAnswer {
    const kind = this.#kinds.get(kindId(target));
    if (kind?.failure !== undefined) return kind.failure;
    const { shared } = kind ?? {};
    if (shared === undefined) return pending(target);
    const { source, resource } = shared;
    const { namespace, name } = target;
    const trouble = source.lastError;
    if (isNotFound(trouble))
      return {
        found: false,
        reason: "TargetKindUnknown",
        message: `${target.apiVersion} ${target.kind} is no longer installed`,
      };
    const object = source.store.get(namespace, name);
    if (object !== undefined) return answerOf(object, { namespace, resource, name });
    if (isForbidden(trouble)) return { found: false, reason: "TargetUnreadable", message: errorText(trouble) };
    if (!source.synced) return pending(target);
    const message = `${target.kind} ${name} does not exist in namespace ${namespace}: create it, or correct spec.scaleTargetRef`;
    return { found: false, reason: "TargetMissing", message };
  }

  /** What a ScaleHandler may use as precondition without asking; undefined where the watch has nothing. */
  cached(ref: {
    namespace: string;
    resource: Resource;
    name: string;
  }): { replicas: number; resourceVersion: string } | undefined {
    const object = this.#shared.get(resourceId(ref.resource))?.source.store.get(ref.namespace, ref.name);
    const resourceVersion = object?.metadata.resourceVersion;
    return resourceVersion === undefined ? undefined : { replicas: object?.spec?.replicas ?? 1, resourceVersion };
  }

  /** Calls back with the `namespace/name` of an ElastiService whose answer may have changed. @returns stops it */
  onChange(listener: (user: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    for (const kind of this.#kinds.values()) {
      kind.retry?.cancel();
      if (kind.shared !== undefined) this.#leave(kind, kind.shared);
    }
    this.#kinds.clear();
    await Promise.all(this.#closing);
  }

  async #map(kind: Kind): Promise<void> {
    if (kind.mapping) return;
    kind.mapping = true;
    try {
      const resource = await this.#mapper.mapScalable(kind.reference);
      kind.failure = undefined;
      if (this.#isWanted(kind)) this.#join(kind, resource);
    } catch (error) {
      if (!this.#isWanted(kind)) return;
      const failure = failureOf(error);
      if (kind.failure?.reason !== failure.reason) {
        this.#logger.warn(
          { ...kind.reference, reason: failure.reason, error: failure.message },
          "target kind cannot be watched",
        );
      }
      kind.failure = failure;
      kind.retry = this.#clock.after(kind.backoff.next(), () => void this.#map(kind));
    } finally {
      kind.mapping = false;
      this.#tell(kind.users.keys());
    }
  }

  #isWanted(kind: Kind): boolean {
    return !this.#closed && this.#kinds.get(kindId(kind.reference)) === kind;
  }

  /** Two spellings of a kind (`deployments`, `Deployment`) share one watch. */
  #join(kind: Kind, resource: Resource): void {
    const id = resourceId(resource);
    let shared = this.#shared.get(id);
    if (shared === undefined) {
      const source = this.#sourceOf(resource);
      const kinds = new Set<Kind>();
      const stop = source.store.on("change", ({ object }) => {
        const address = keyOf(object.metadata.namespace ?? "", object.metadata.name);
        for (const { users } of kinds) this.#tell(usersOf(users, address));
      });
      shared = { resource, source, stop, kinds };
      this.#shared.set(id, shared);
      // the first list may hold nothing of what is wanted: that is news, too
      const all = () => {
        for (const { users } of kinds) this.#tell(users.keys());
      };
      source.start().then(all, () => {});
    }
    shared.kinds.add(kind);
    kind.shared = shared;
  }

  #leave(kind: Kind, shared: Shared): void {
    kind.shared = undefined;
    shared.kinds.delete(kind);
    if (shared.kinds.size > 0) return;
    this.#shared.delete(resourceId(shared.resource));
    shared.stop();
    const closing = shared.source.close().finally(() => this.#closing.splice(this.#closing.indexOf(closing), 1));
    this.#closing.push(closing);
  }

  #tell(users: Iterable<string>): void {
    for (const user of [...users]) for (const listener of this.#listeners) listener(user);
  }
}

/** Reflectors of targets that keep only what is used. */
function reflectorsOf({
  client,
  clock,
  logger,
  metrics,
  namespaces,
}: TargetCacheDeps): (resource: Resource) => TargetSource {
  return (resource) =>
    new Reflector<TargetObject>({ client, clock, logger, metrics, namespaces, resource, transform: trimTarget });
}

const kindId = ({ apiVersion, kind }: KindReference): string => `${apiVersion} ${kind}`;
const resourceId = ({ group, version, plural }: Resource): string => `${group}/${version}/${plural}`;

const pending = ({ kind, name }: TargetReference): Missing => ({
  found: false,
  reason: "TargetPending",
  message: `${kind} ${name} is being looked up`,
});

function* usersOf(users: ReadonlyMap<string, string>, address: string): Generator<string> {
  for (const [user, wanted] of users) if (wanted === address) yield user;
}

function answerOf(
  { metadata, spec, status }: TargetObject,
  ref: { namespace: string; resource: Resource; name: string },
): TargetAnswer {
  return {
    found: true,
    ref,
    replicas: spec?.replicas ?? 1,
    statusReplicas: status?.replicas ?? 0,
    resourceVersion: metadata.resourceVersion ?? "",
    uid: metadata.uid,
    generation: metadata.generation,
    observedGeneration: status?.observedGeneration,
    template: spec?.template,
    rolloutServices: spec?.rolloutServices,
    deleting: metadata.deletionTimestamp !== undefined,
    override: metadata.annotations?.[OVERRIDE_ANNOTATION],
    createFailure: createFailureOf(metadata.generation, status),
  };
}

function createFailureOf(generation: number | undefined, status: TargetObject["status"]): CreateFailure | undefined {
  const [condition] = status?.conditions ?? [];
  // what was said of an older spec says nothing of this one
  if (condition === undefined || (status?.observedGeneration ?? 0) < (generation ?? 0)) return undefined;
  return { message: condition.message ?? "", sinceMs: Date.parse(condition.lastTransitionTime ?? "") || 0 };
}
