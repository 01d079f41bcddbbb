import type { Resource } from "@elasti/kube";

/** One workload with a scale subresource. */
export interface TargetRef {
  readonly namespace: string;
  readonly resource: Resource;
  readonly name: string;
}

/** What the API server said about a target's scale. */
export interface ScaleState {
  /** spec.replicas; 0 where the field is left out. */
  readonly replicas: number;
  /** metadata.resourceVersion of the scale, which is the target's own. */
  readonly resourceVersion: string;
}

interface Call {
  signal?: AbortSignal;
  timeoutMs?: number;
}

/** What the ScaleHandler needs of Kubernetes; the ScaleClient of @elasti/kube has it. Failures are errors of that package. */
export interface ScaleClient {
  getScale(ref: TargetRef, options?: Call): Promise<ScaleState>;
  /** One PATCH of /scale; `resourceVersion` is the precondition (ELASTI_KUBE_CONFLICT). */
  setScale(wanted: TargetRef & ScaleState, options?: Call): Promise<ScaleState>;
  /**
   * One server-side apply of the replicas that are there, under a field manager named by the epoch. One that does not own
   * them yet moves the resourceVersion although nothing else changes.
   */
  fenceScale(
    wanted: TargetRef & ScaleState & { readonly epoch: number; readonly again?: boolean },
    options?: Call,
  ): Promise<ScaleState>;
}

/** The informer's view of targets; may be behind. */
export interface Targets {
  cached(ref: TargetRef): ScaleState | undefined;
}

/** Names a target in maps: namespace, kind and name. */
export function targetKey({ namespace, resource, name }: TargetRef): string {
  return `${namespace}/${resource.plural}.${resource.group}/${name}`;
}

/** For messages: `deployments.apps default/web`. */
export function targetText({ namespace, resource, name }: TargetRef): string {
  return `${resource.plural}${resource.group === "" ? "" : `.${resource.group}`} ${namespace}/${name}`;
}

const decimal = /^[0-9]+$/;

/**
 * The newer of two states of one target, or undefined where that cannot be said. Resource versions of one resource are
 * comparable as decimal numbers (KEP-5504); anything else is compared for equality alone.
 */
export function newerState(a: ScaleState, b: ScaleState): ScaleState | undefined {
  if (a.resourceVersion === b.resourceVersion) return a;
  if (!decimal.test(a.resourceVersion) || !decimal.test(b.resourceVersion)) return undefined;
  return BigInt(a.resourceVersion) > BigInt(b.resourceVersion) ? a : b;
}
