import type { ElastiService } from "@elasti/api";
import type { HorizontalPodAutoscaler, ScaledObject, ScaleTargetReference } from "@elasti/kube";
import type { Policy } from "../schema/policy.ts";
import type { ClusterSources, WorkloadReference } from "./cluster-sources.ts";
import type { TargetType, TargetTypes } from "./target-types.ts";

/** Who writes for a target: replicas themselves, or the bounds of the autoscaler that has it. */
export type TargetWriter =
  | { readonly kind: "scale" }
  | { readonly kind: "hpa"; readonly object: HorizontalPodAutoscaler }
  | { readonly kind: "keda"; readonly object: ScaledObject };

/** What there is to write to. */
export interface FoundTarget {
  readonly kind: "found";
  readonly workload: WorkloadReference;
  readonly writer: TargetWriter;
  /** Those that name the workload: then zero has one door. */
  readonly elastiServices: readonly ElastiService[];
}

type Waiting =
  /** It will be acted on when it comes. */
  | { readonly kind: "missing"; readonly message: string }
  /** Not seen yet. */
  | { readonly kind: "unknown"; readonly message: string };

/** What a policy's target_ref stands for now. */
export type ResolvedTarget = FoundTarget | Waiting;

const missing = (message: string): Waiting => ({ kind: "missing", message });

/** Finds out what is behind a target_ref, by what the watches know. */
export class TargetResolver {
  readonly #types: TargetTypes;
  readonly #sources: ClusterSources;

  constructor(types: TargetTypes, sources: ClusterSources) {
    this.#types = types;
    this.#sources = sources;
  }

  /** Whether target_ref names an ElastiService, be there one or not. */
  isElastiService({ target_type }: Pick<Policy, "target_type">): boolean {
    return this.#types.get(target_type)?.names === "elastiservice";
  }

  resolve(policy: Pick<Policy, "target_type" | "target_ref">): ResolvedTarget {
    const { target_ref: ref } = policy;
    const type = this.#types.get(policy.target_type);
    if (type === undefined)
      return missing(`target type ${policy.target_type} is not configured: expected ${this.#types.names.join(", ")}`);
    if (ref === null) return missing("target_ref is not given");
    const workload = this.#workloadOf(type, ref);
    if ("message" in workload) return workload;
    const autoscalers = this.#sources.autoscalersOf(workload);
    if (autoscalers === undefined)
      return { kind: "unknown", message: "it is not known yet which autoscalers there are" };
    const writer = this.#writerOf(type, ref, autoscalers);
    if ("message" in writer) return writer;
    return { kind: "found", workload, writer, elastiServices: this.#sources.elastiServicesOf(workload) };
  }

  #workloadOf(type: TargetType, ref: NonNullable<Policy["target_ref"]>): WorkloadReference | Waiting {
    const { namespace, name } = ref;
    switch (type.names) {
      case "elastiservice": {
        const es = this.#sources.elastiService(namespace, name);
        if (es === undefined) return missing(`ElastiService ${namespace}/${name} does not exist`);
        return { namespace, ...es.spec.scaleTargetRef };
      }
      case "scaledobject": {
        const object = this.#sources.scaledObject(namespace, name);
        if (object === undefined) return missing(`ScaledObject ${namespace}/${name} does not exist`);
        return { namespace, ...referenceOf(object.spec.scaleTargetRef) };
      }
      case "open":
        return { namespace, name, apiVersion: ref.api_version ?? "apps/v1", kind: ref.kind ?? "Deployment" };
      default:
        return { namespace, name, ...type.names };
    }
  }

  #writerOf(
    type: TargetType,
    ref: NonNullable<Policy["target_ref"]>,
    { scaledObjects, hpas }: NonNullable<ReturnType<ClusterSources["autoscalersOf"]>>,
  ): TargetWriter | Waiting {
    const named =
      type.names === "scaledobject" ? scaledObjects.filter(({ metadata }) => metadata.name === ref.name) : [];
    const [scaledObject] = named.length > 0 ? named : scaledObjects;
    if (scaledObject !== undefined) return { kind: "keda", object: scaledObject };
    if (type.executor === "keda") return missing(`no ScaledObject scales ${ref.namespace}/${ref.name}`);
    const [hpa] = hpas;
    return hpa === undefined ? { kind: "scale" } : { kind: "hpa", object: hpa };
  }
}

function referenceOf({ apiVersion = "apps/v1", kind = "Deployment", name }: ScaleTargetReference): {
  apiVersion: string;
  kind: string;
  name: string;
} {
  return { apiVersion, kind, name };
}
