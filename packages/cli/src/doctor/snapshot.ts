import type { ElastiService } from "@elasti/api";
import type { EndpointSlice, KubeObject, Lease, Pod, ScaledObject, Service } from "@elasti/kube";
import type { Finding } from "./finding.ts";
import type { NetworkPolicy } from "./network-policy.ts";

/** A CustomResourceDefinition as far as it is looked at. */
export interface Definition extends KubeObject {
  spec: {
    versions: {
      name: string;
      served: boolean;
      storage: boolean;
      subresources?: { status?: object };
      schema?: { openAPIV3Schema?: object };
    }[];
  };
}

/** One of the two programs, as the cluster has it. */
export interface ComponentState {
  /** Name of its Service. */
  readonly name: string;
  readonly service: Service | undefined;
  /** Slices of that Service. */
  readonly slices: readonly EndpointSlice[];
  readonly pods: readonly Pod[];
  /** Pods that are ready, and did not answer `/readyz` through the API server: why not. */
  readonly unreachable: ReadonlyMap<string, string>;
  /** Checks of `/readyz` that fail of pods that are ready, by pod. */
  readonly failing: ReadonlyMap<string, readonly FailingCheck[]>;
}

/** What a pod itself says is not well with it. */
export interface FailingCheck {
  readonly name: string;
  readonly reason: string;
}

/** Whether an account may do something. */
export interface Right {
  /** `system:serviceaccount:elasti-system:elasti-operator` */
  readonly account: string;
  readonly verb: string;
  /** With its subresource. */
  readonly resource: string;
  readonly group: string;
  /** Undefined: everywhere. */
  readonly namespace: string | undefined;
  /** What it is needed for. */
  readonly purpose: string;
  readonly allowed: boolean;
}

/** What a Prometheus server said to the query of a trigger. */
export interface TriggerAnswer {
  readonly elastiService: ElastiService;
  /** `triggers[0]` */
  readonly field: string;
  readonly server: string;
  readonly answer:
    | { readonly kind: "failure"; readonly message: string }
    /** Nobody can be asked from here. */
    | { readonly kind: "unknown"; readonly message: string }
    | { readonly kind: "series"; readonly count: number };
}

/** Everything that the checks look at. */
export interface DoctorSnapshot {
  readonly nowMs: number;
  /** Namespace of operator and resolvers; undefined where none was found. */
  readonly system: string | undefined;
  readonly definition: Definition | undefined;
  readonly lease: Lease | undefined;
  readonly leaseName: string;
  readonly operator: ComponentState;
  readonly resolver: ComponentState;
  readonly elastiServices: readonly ElastiService[];
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly scaledObjects: readonly ScaledObject[];
  /** Replicas asked for of targets, by the `namespace/name` of their ElastiServices. */
  readonly replicas: ReadonlyMap<string, number>;
  /** Labels of the targets' pods, by the same. */
  readonly podLabels: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly policies: readonly NetworkPolicy[];
  /** Labels of namespaces. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly nodes: readonly string[] | undefined;
  readonly rights: readonly Right[];
  readonly triggers: readonly TriggerAnswer[];
  /** Operators of KubeElasti that have pods, as `namespace/name` of their Deployments. */
  readonly kubeElasti: readonly string[];
  /** What could not be read. */
  readonly unread: readonly { readonly what: string; readonly why: string }[];
}

/** A pure look at one side of it. */
export type Check = (snapshot: DoctorSnapshot) => Finding[];
