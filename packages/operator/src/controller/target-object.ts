import { OVERRIDE_ANNOTATION } from "@elasti/api";
import type { Container, KubeObject, PodTemplate, Probe } from "@elasti/kube";

/** What is kept of a target: whatever its kind, as far as it follows the convention of spec.replicas and spec.template. */
export interface TargetObject extends KubeObject {
  spec?: {
    replicas?: number;
    template?: PodTemplate;
    strategy?: unknown;
    /** Of a Rollout of Argo: the Services that it names. Not a field of it, but what is kept of spec.strategy. */
    rolloutServices?: readonly string[];
  };
  status?: { replicas?: number; observedGeneration?: number; conditions?: TargetCondition[] };
}

/** A condition of a workload, as Deployments have them and other kinds imitate. */
export interface TargetCondition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}

/** Drops what is not used: environments of thousands of pod templates would be most of the memory, and hold secrets. */
export function trimTarget(object: TargetObject): TargetObject {
  const { metadata, spec, status } = object;
  const { name, namespace, uid, resourceVersion, generation, creationTimestamp, deletionTimestamp } = metadata;
  const override = metadata.annotations?.[OVERRIDE_ANNOTATION];
  const template = spec?.template;
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: {
      name,
      ...defined({ namespace, uid, resourceVersion, generation, creationTimestamp, deletionTimestamp }),
      ...(override === undefined ? {} : { annotations: { [OVERRIDE_ANNOTATION]: override } }),
    },
    spec: {
      ...defined({ replicas: spec?.replicas, rolloutServices: rolloutServicesOf(object) }),
      ...(template?.spec?.containers === undefined ? {} : { template: trimTemplate(template) }),
    },
    status: defined({
      replicas: status?.replicas,
      observedGeneration: status?.observedGeneration,
      conditions: createFailures(status?.conditions),
    }),
  };
}

/** The Services whose selectors Argo Rollouts itself writes, and validates against the pod template. */
function rolloutServicesOf({ apiVersion, kind, spec }: TargetObject): string[] | undefined {
  if (kind !== "Rollout" || apiVersion?.startsWith("argoproj.io/") !== true) return undefined;
  const { canary, blueGreen } = fieldsOf(spec?.strategy);
  const { stableService, canaryService, pingPong } = fieldsOf(canary);
  const { activeService, previewService } = fieldsOf(blueGreen);
  const { pingService, pongService } = fieldsOf(pingPong);
  const named = [stableService, canaryService, pingService, pongService, activeService, previewService];
  return named.filter((name): name is string => typeof name === "string" && name !== "");
}

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};

function trimTemplate({ metadata, spec }: PodTemplate): PodTemplate {
  const { labels, annotations } = metadata ?? {};
  return {
    metadata: defined({ labels, annotations }),
    spec: {
      containers: spec.containers.map(trimContainer),
      ...(spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(trimContainer) }),
      ...defined({ readinessGates: spec.readinessGates }),
    },
  };
}

function trimContainer({ name, ports, readinessProbe, startupProbe, restartPolicy }: Container): Container {
  return {
    name,
    ...defined({ ports, readinessProbe: known(readinessProbe), startupProbe: known(startupProbe), restartPolicy }),
  };
}

/** Of all conditions only the one by which a controller says that it cannot make pods; undefined where there is none. */
function createFailures(conditions: TargetCondition[] | undefined): TargetCondition[] | undefined {
  if (!Array.isArray(conditions)) return undefined;
  const kept = conditions.filter(
    ({ type, status, reason }) => type === "ReplicaFailure" && status === "True" && reason === "FailedCreate",
  );
  return kept.length === 0 ? undefined : kept;
}

/** The command of an exec probe is not needed: that there is one is enough. */
function known(probe: Probe | undefined): Probe | undefined {
  return probe?.exec === undefined ? probe : { ...probe, exec: { command: [] } };
}

/** The fields that have a value. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
