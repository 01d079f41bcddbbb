import { isDeepStrictEqual } from "node:util";
import type { ElastiService } from "@elasti/api";
import { type Clock, errorText, type Logger, type Metrics } from "@elasti/core";
import {
  type HorizontalPodAutoscaler,
  isForbidden,
  isNotFound,
  type KubeClient,
  type KubeObject,
  keyOf,
  Reflector,
  type Resource,
  resources,
  type ScaledObject,
  type ScaleTargetReference,
} from "@elasti/kube";
import { isTouched } from "@elasti/scaling";
import { OwnWrites } from "../lifecycle/own-writes.ts";

/** What can be said of the autoscalers of a kind: `absent` where the API server does not know the kind. */
export type KindState = "known" | "absent" | "unreadable" | "pending";

/** The autoscalers that name one target. HPAs that KEDA made are not among them: KEDA is told, and tells them. */
export interface FoundAutoscalers {
  readonly scaledObjects: readonly ScaledObject[];
  readonly hpas: readonly HorizontalPodAutoscaler[];
}

export interface AutoscalerWatchDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: Metrics;
  /** Those to be watched; all when empty. */
  readonly namespaces: readonly string[];
}

const KEDA_CRD = "scaledobjects.keda.sh";
const VERSION_LABEL = "app.kubernetes.io/version";

/**
 * Every ScaledObject and HPA of the cluster, by the target that it names, and the version of KEDA that is installed. A kind
 * that is not installed, or may not be read, is asked for again now and then, and its objects are noticed when they come.
 */
export class AutoscalerWatch {
  readonly scaledObjects: OwnWrites<ScaledObject>;
  readonly #scaled: Reflector<ScaledObject>;
  readonly #hpas: Reflector<HorizontalPodAutoscaler>;
  /** It has no namespace: to read it is a right for the whole cluster. */
  readonly #crd: Reflector<KubeObject> | undefined;
  readonly #logger: Logger;
  readonly #listeners = new Set<() => void>();
  /** Whether ScaledObjects are asked for. */
  #asksKeda = false;

  constructor(deps: AutoscalerWatchDeps) {
    this.#logger = deps.logger;
    const { namespaces, ...common } = deps;
    const byTarget = ({ metadata, spec }: ScaledObject | HorizontalPodAutoscaler) => [
      keyOf(metadata.namespace, spec.scaleTargetRef.name),
    ];
    this.#scaled = new Reflector<ScaledObject>({
      ...common,
      namespaces,
      resource: resources.scaledObjects,
      indexers: {
        target: byTarget,
        touched: ({ metadata }) => (isTouched(metadata.annotations) ? [metadata.namespace ?? ""] : []),
      },
      transform: trimScaledObject,
      onFailure: this.#failureOf(resources.scaledObjects),
    });
    this.#hpas = new Reflector<HorizontalPodAutoscaler>({
      ...common,
      namespaces,
      resource: resources.horizontalPodAutoscalers,
      indexers: { target: byTarget },
      transform: trimHpa,
      onFailure: this.#failureOf(resources.horizontalPodAutoscalers),
    });
    const noteFailure = this.#failureOf(resources.customResourceDefinitions);
    if (namespaces.length === 0)
      this.#crd = new Reflector<KubeObject>({
        ...common,
        resource: resources.customResourceDefinitions,
        fieldSelector: `metadata.name=${KEDA_CRD}`,
        transform: trimCrd,
        onFailure: (error) => {
          noteFailure(error);
          // who may not see definitions can only try
          this.#askKeda();
        },
      });
    this.scaledObjects = new OwnWrites(this.#scaled.store);
  }

  /** Of ScaledObjects and of HPAs. */
  get states(): { readonly keda: KindState; readonly hpa: KindState } {
    const undefinedKind = this.#crd?.synced === true ? "absent" : "pending";
    return { keda: this.#asksKeda ? stateOf(this.#scaled) : undefinedKind, hpa: stateOf(this.#hpas) };
  }

  /** Major and minor version of KEDA by the label of its definition; undefined where that is not told. */
  get kedaVersion(): readonly [number, number] | undefined {
    const label = this.#crd?.store.get(undefined, KEDA_CRD)?.metadata.labels?.[VERSION_LABEL] ?? "";
    const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(label) ?? [];
    return major === undefined || minor === undefined ? undefined : [Number(major), Number(minor)];
  }

  /** The autoscalers whose scaleTargetRef is that of the ElastiService. */
  of({ metadata, spec }: Pick<ElastiService, "metadata" | "spec">): FoundAutoscalers {
    return this.ofTarget(metadata.namespace ?? "", spec.scaleTargetRef);
  }

  /** The autoscalers whose scaleTargetRef is this one. */
  ofTarget(namespace: string, target: ScaleTargetReference): FoundAutoscalers {
    const key = keyOf(namespace, target.name);
    const { keda, hpa } = this.states;
    const fits = (object: ScaledObject | HorizontalPodAutoscaler) =>
      object.metadata.deletionTimestamp === undefined && isSameTarget(object.spec.scaleTargetRef, target);
    return {
      scaledObjects:
        keda === "known"
          ? this.#scaled.store
              .byIndex("target", key)
              .flatMap((object) => this.scaledObjects.get(namespace, object.metadata.name) ?? [])
              .filter(fits)
          : [],
      hpas: hpa === "known" ? this.#hpas.store.byIndex("target", key).filter((one) => !isKedas(one) && fits(one)) : [],
    };
  }

  /** The autoscaler that `spec.autoscaler` names, whatever it scales. */
  named({ metadata, spec }: ElastiService): ScaledObject | HorizontalPodAutoscaler | undefined {
    const { autoscaler } = spec;
    if (autoscaler === undefined) return undefined;
    const { store } = autoscaler.type === "keda" ? this.#scaled : this.#hpas;
    return store.get(metadata.namespace, autoscaler.name);
  }

  /** The ScaledObjects, of one namespace or all, on which something of ours stands. */
  touched(namespace?: string): ScaledObject[] {
    const { store } = this.#scaled;
    return namespace === undefined
      ? store.list().filter(({ metadata }) => isTouched(metadata.annotations))
      : store.byIndex("touched", namespace);
  }

  /** Takes over what a write has made of one, before the watch tells of it. */
  wrote(object: ScaledObject | HorizontalPodAutoscaler): void {
    // of an HPA the next write finds out by its conflict
    if (object.kind === "ScaledObject") this.scaledObjects.wrote(trimScaledObject(object as ScaledObject));
  }

  /** The HPAs, of all namespaces, on which something of ours stands. */
  touchedHpas(): HorizontalPodAutoscaler[] {
    return this.#hpas.store.list().filter(({ metadata }) => isTouched(metadata.annotations));
  }

  /** Calls back with every autoscaler that changes in what counts here: KEDA writes its status all the time. */
  onObject(listener: (object: ScaledObject | HorizontalPodAutoscaler) => void): void {
    const listen = <T extends ScaledObject | HorizontalPodAutoscaler>({ store }: Reflector<T>): void => {
      store.on("change", (event) => {
        const { object } = event;
        if (event.type !== "modified") return listener(object);
        if (isDeepStrictEqual(versionless(event.old), versionless(object))) return;
        listener(object);
        // edited to name another target: the former one is concerned, too
        listener(event.old);
      });
    };
    listen(this.#scaled);
    listen(this.#hpas);
  }

  /** Calls back when a whole kind has become known, or is no longer. */
  onKind(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Begins to watch. Nothing waits for it: without autoscalers all the rest goes on. */
  start(): void {
    this.#hpas.start().then(
      () => this.#tell(),
      () => {},
    );
    if (this.#crd === undefined) {
      this.#askKeda();
      return;
    }
    const { store } = this.#crd;
    store.on("change", () => {
      if (store.size > 0) this.#askKeda();
      this.#tell();
    });
    this.#crd.start().then(
      () => {
        // most clusters have no KEDA, and are not to be asked again and again
        if (store.size === 0)
          this.#logger.info({ resource: KEDA_CRD, reason: "NotInstalled" }, "kind is not installed");
        this.#tell();
      },
      () => {},
    );
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    this.scaledObjects.close();
    await Promise.all([this.#scaled, this.#hpas, this.#crd].map((reflector) => reflector?.close()));
  }

  /** Watches ScaledObjects from now on. Idempotent. */
  #askKeda(): void {
    if (this.#asksKeda) return;
    this.#asksKeda = true;
    this.#scaled.start().then(
      () => this.#tell(),
      () => {},
    );
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Takes note of failures: one line for each that is another than the last. */
  #failureOf({ plural }: Resource): (error: unknown) => void {
    let last: string | undefined;
    return (error) => {
      const text = errorText(error);
      if (text === last) return;
      last = text;
      // most clusters have no KEDA
      if (isNotFound(error)) this.#logger.info({ resource: plural, reason: "NotInstalled" }, "kind is not installed");
      else this.#logger.warn({ resource: plural, error: text }, "autoscalers cannot be watched");
      this.#tell();
    };
  }
}

function stateOf({ synced, lastError }: { synced: boolean; lastError: unknown }): KindState {
  if (isNotFound(lastError)) return "absent";
  if (isForbidden(lastError)) return "unreadable";
  return synced ? "known" : "pending";
}

const versionless = ({ metadata, ...rest }: ScaledObject | HorizontalPodAutoscaler) => ({
  ...rest,
  metadata: { ...metadata, resourceVersion: undefined },
});

const groupOf = (apiVersion: string): string => (apiVersion.includes("/") ? apiVersion.split("/")[0]! : "");
const plainKind = (kind: string): string => kind.toLowerCase().replace(/s$/, "");

/** `Deployment` and `deployments` name one kind, and all versions of a group have the same objects. */
export function isSameTarget(a: ScaleTargetReference, b: ScaleTargetReference): boolean {
  const { apiVersion: versionA = "apps/v1", kind: kindA = "Deployment" } = a;
  const { apiVersion: versionB = "apps/v1", kind: kindB = "Deployment" } = b;
  return a.name === b.name && groupOf(versionA) === groupOf(versionB) && plainKind(kindA) === plainKind(kindB);
}

const isKedas = ({ metadata }: HorizontalPodAutoscaler): boolean =>
  (metadata.ownerReferences ?? []).some(
    ({ kind, apiVersion }) => kind === "ScaledObject" && groupOf(apiVersion) === "keda.sh",
  );

/** Queries and credentials of triggers are none of our business, and would be most of the memory. */
export function trimScaledObject({ apiVersion, kind, metadata, spec }: ScaledObject): ScaledObject {
  const { scaleTargetRef, minReplicaCount, maxReplicaCount, idleReplicaCount } = spec;
  return {
    apiVersion,
    kind,
    metadata: trimMetadata(metadata),
    spec: {
      scaleTargetRef,
      ...(minReplicaCount === undefined ? {} : { minReplicaCount }),
      ...(maxReplicaCount === undefined ? {} : { maxReplicaCount }),
      ...(idleReplicaCount === undefined ? {} : { idleReplicaCount }),
    },
  };
}

function trimHpa({ apiVersion, kind, metadata, spec }: HorizontalPodAutoscaler): HorizontalPodAutoscaler {
  const { scaleTargetRef, minReplicas, maxReplicas } = spec;
  const { ownerReferences } = metadata;
  return {
    apiVersion,
    kind,
    metadata: { ...trimMetadata(metadata), ...(ownerReferences === undefined ? {} : { ownerReferences }) },
    spec: { scaleTargetRef, maxReplicas, ...(minReplicas === undefined ? {} : { minReplicas }) },
  };
}

function trimCrd({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { labels } = metadata;
  return { apiVersion, kind, metadata: { ...trimMetadata(metadata), ...(labels === undefined ? {} : { labels }) } };
}

/** Of the annotations only those that concern KEDA: another may hold the whole manifest. */
function trimMetadata(metadata: KubeObject["metadata"]): KubeObject["metadata"] {
  const { name, namespace, uid, resourceVersion, deletionTimestamp, annotations = {} } = metadata;
  const kept = Object.entries(annotations).filter(([key]) =>
    /^(autoscaling\.keda\.sh|elasti\.truefoundry\.com)\//.test(key),
  );
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    annotations: Object.fromEntries(kept),
  };
}
