import {
  type ElastiService,
  FINALIZER,
  GROUP,
  keyOf,
  PARK_KEY,
  privateServiceName,
  resolverSliceName,
  SERVICE_EPOCH_ANNOTATION,
  SERVICE_LABEL,
  SERVICE_NAME_LABEL,
  SLICE_MANAGED_BY_LABEL,
  SLICE_MANAGER,
} from "@elasti/api";
import type { EndpointSlice, HorizontalPodAutoscaler, KubeObject, ScaledObject, Service } from "@elasti/kube";
import { hasPolicyBounds, isToldOfSleep } from "@elasti/operator";

/** What is there of the cluster, of all namespaces or of some. */
export interface Snapshot {
  readonly elastiServices: readonly ElastiService[];
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly scaledObjects: readonly ScaledObject[];
  /** Left out where nobody looks for what policies have moved. */
  readonly hpas?: readonly HorizontalPodAutoscaler[];
  /** Replicas asked for of the target of an ElastiService, by its `namespace/name`; nothing where there is no such target. */
  readonly replicas: ReadonlyMap<string, number>;
  /** KubeElasti's operator runs: what Elasti has not taken up is its own. */
  readonly beside?: boolean;
}

export type LeftoverKind = "target" | "park" | "epoch" | "slice" | "private" | "autoscaler" | "bounds" | "finalizer";

/** One thing that is not as it was without Elasti. */
export interface Leftover {
  readonly kind: LeftoverKind;
  /** `Service default/web` */
  readonly object: string;
  readonly namespace: string;
  /** Name of the ElastiService that it is there for; undefined where no one names it any more. */
  readonly elastiService?: string;
}

/** What is said of each: before, after, and when it could not be done. */
export const words: Readonly<Record<LeftoverKind, { todo: string; done: string; left: string }>> = {
  target: { todo: "would be woken", done: "woken", left: "is at zero replicas" },
  park: {
    todo: `${PARK_KEY} would come off its selector`,
    done: "selector as it was",
    left: `has ${PARK_KEY} in its selector, so that it matches no pod`,
  },
  epoch: {
    todo: "the annotation of Elasti would come off",
    done: "annotations as they were",
    left: "has an annotation",
  },
  slice: { todo: "would be deleted", done: "deleted", left: "leads clients to resolvers" },
  private: { todo: "would be deleted", done: "deleted", left: "is there" },
  autoscaler: {
    todo: "its former annotations would be put back",
    done: "annotations as they were",
    left: "has annotations of Elasti",
  },
  bounds: {
    todo: "the bounds that it had before a policy would be put back",
    done: "bounds as they were before a policy",
    left: "has the bounds of a policy",
  },
  finalizer: { todo: "the finalizer would come off", done: "finalizer taken off", left: "has the finalizer" },
};

/** Everything that `elasti restore` has to put back, in the order in which it is best read. */
export function leftoversOf(snapshot: Snapshot): Leftover[] {
  const { elastiServices, services, slices, scaledObjects, hpas = [], replicas } = snapshot;
  const byService = new Map<string, ElastiService>();
  const found: Leftover[] = [];
  for (const es of elastiServices) {
    const { namespace = "", name, finalizers = [] } = es.metadata;
    byService.set(keyOf(namespace, es.spec.service), es);
    if (isAsleep(es) && replicas.get(keyOf(namespace, name)) === 0) {
      const { kind, name: target } = es.spec.scaleTargetRef;
      found.push({ kind: "target", object: `${kind} ${keyOf(namespace, target)}`, namespace, elastiService: name });
    }
    if (finalizers.includes(FINALIZER))
      found.push({
        kind: "finalizer",
        object: `ElastiService ${keyOf(namespace, name)}`,
        namespace,
        elastiService: name,
      });
  }
  const add = (kind: LeftoverKind, object: KubeObject, service: string | undefined): void => {
    const { namespace = "" } = object.metadata;
    const es = service === undefined ? undefined : byService.get(keyOf(namespace, service));
    found.push({
      kind,
      object: nameOf(object),
      namespace,
      ...(es === undefined ? {} : { elastiService: es.metadata.name }),
    });
  };
  const privateNames = new Map(
    elastiServices.map(({ metadata: { namespace = "" }, spec }) => [
      keyOf(namespace, privateServiceName(spec.service)),
      spec.service,
    ]),
  );
  for (const service of services) {
    const { namespace = "", name, labels, annotations, ownerReferences } = service.metadata;
    if (service.spec.selector?.[PARK_KEY] !== undefined) add("park", service, name);
    if (annotations?.[SERVICE_EPOCH_ANNOTATION] !== undefined) add("epoch", service, name);
    const made =
      labels?.[SERVICE_LABEL] ?? (ownerReferences?.some(isOurs) ? privateNames.get(keyOf(namespace, name)) : undefined);
    if (made !== undefined) add("private", service, made);
  }
  for (const slice of slices) {
    const { labels, name } = slice.metadata;
    const service = labels?.[SERVICE_NAME_LABEL];
    const ours =
      labels?.[SLICE_MANAGED_BY_LABEL] === SLICE_MANAGER ||
      (service !== undefined && name === resolverSliceName(service));
    if (ours) add("slice", slice, service);
  }
  for (const object of [...scaledObjects, ...hpas]) if (hasPolicyBounds(object)) add("bounds", object, undefined);
  for (const object of scaledObjects)
    if (isToldOfSleep(object)) {
      const { namespace } = object.metadata;
      const target = object.spec.scaleTargetRef.name;
      const es = elastiServices.find(
        ({ metadata, spec }) => metadata.namespace === namespace && spec.scaleTargetRef.name === target,
      );
      add("autoscaler", object, es?.spec.service);
    }
  const theirs = new Set(
    elastiServices
      .filter(({ status }) => snapshot.beside === true && status?.phase === undefined)
      .map(({ metadata }) => keyOf(metadata.namespace ?? "", metadata.name)),
  );
  const ours = found.filter(({ namespace, elastiService = "" }) => !theirs.has(keyOf(namespace, elastiService)));
  return ours.toSorted((a, b) => order(a) - order(b) || (a.object < b.object ? -1 : a.object > b.object ? 1 : 0));
}

/** `Service default/web` */
export const nameOf = ({ kind, metadata }: KubeObject): string =>
  `${kind} ${keyOf(metadata.namespace ?? "", metadata.name)}`;

/**
 * ElastiServices that stand without our finalizer though something has to be put back for them; the steps of a deletion begin
 * with it.
 */
export function unclaimed(snapshot: Snapshot, leftovers: readonly Leftover[]): ElastiService[] {
  const needed = new Set(
    leftovers.map(({ namespace, elastiService }) => elastiService && keyOf(namespace, elastiService)),
  );
  return snapshot.elastiServices.filter(
    ({ metadata }) =>
      metadata.deletionTimestamp === undefined &&
      metadata.finalizers?.includes(FINALIZER) !== true &&
      needed.has(keyOf(metadata.namespace ?? "", metadata.name)),
  );
}

/** Its target is at zero because of us, if it is at zero: one that we let go is the user's own. */
const isAsleep = ({ metadata, status }: ElastiService): boolean =>
  metadata.finalizers?.includes(FINALIZER) === true ||
  status?.phase === "Asleep" ||
  status?.phase === "Sealed" ||
  status?.phase === "Waking";

const isOurs = ({ apiVersion, kind }: { apiVersion: string; kind: string }): boolean =>
  kind === "ElastiService" && apiVersion.startsWith(`${GROUP}/`);

const kinds = Object.keys(words);
const order = ({ kind }: Leftover): number => kinds.indexOf(kind);
