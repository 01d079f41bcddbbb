import type { ElastiService } from "@elasti/api";
import type { Cluster, Deployment, EndpointSlice, Service } from "@elasti/kube";
import type { ClientPlace } from "./clients.ts";
import type { Host } from "./host.ts";
import type { NodeTables } from "./stage.ts";

/** Told of every change of these objects, in the order of the changes of one kind. */
export interface Followers {
  elastiService(object: ElastiService): void;
  service(object: Service): void;
  deployment(object: Deployment): void;
  slice(object: EndpointSlice, gone: boolean): void;
}

/**
 * A cluster with two resolvers and room for operators of the benchmark's own, on which nodes can be made to follow changes
 * of Services late.
 */
export interface CyclesGround {
  readonly host: Host;
  /** Namespace of operators and resolvers. */
  readonly namespace: string;
  readonly tables: NodeTables;
  /** What an operator of the benchmark's own needs. */
  readonly operators: {
    readonly cluster: Cluster;
    readonly address: string;
    readonly accountOf: (token: string) => Promise<string | undefined>;
  };
  follow(followers: Followers): Promise<void>;
  /** Resolves once a node leads a Service to something. */
  leads(node: number, service: string): Promise<void>;
  /** From now on nodes lag. */
  beginLag(): void;
  /** Where another client is; all nodes in turn. */
  nextPlace(): ClientPlace;
  /** Whether this is a node's own address, from which connections come whose sender a Service hides. */
  isNode(address: string): boolean;
  /** What the resolvers have said of a service lately, for the evidence of a failure. */
  saidOf(service: string): Promise<readonly string[]>;
  close(): Promise<void>;
}
