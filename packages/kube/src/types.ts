/** metav1.OwnerReference. */
export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  managedFields?: {
    manager?: string;
    operation?: string;
    subresource?: string;
    time?: string;
    fieldsV1?: unknown;
  }[];
}

/** Any Kubernetes object; typed kinds extend it. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

export interface KubeList<T extends KubeObject> {
  apiVersion: string;
  kind: string;
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: T[];
}

/** metav1.Status: the body of every failure of the API server. */
export interface KubeStatus {
  kind: "Status";
  apiVersion: "v1";
  status: "Success" | "Failure";
  message?: string;
  reason?: string;
  code?: number;
  details?: {
    name?: string;
    group?: string;
    kind?: string;
    retryAfterSeconds?: number;
    causes?: { reason?: string; message?: string; field?: string }[];
  };
}

/** One kind of object as the REST paths name it, e.g. `{ group: "apps", version: "v1", plural: "deployments", kind: "Deployment", namespaced: true }`. */
export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface WatchEvent<T extends KubeObject> {
  type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  object: T;
}

export interface ListOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  limit?: number;
  continue?: string;
  resourceVersion?: string;
  signal?: AbortSignal;
  timeoutMs?: number;
}

export interface WatchOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  resourceVersion?: string;
  /** Server-side end of the watch. */
  timeoutSeconds?: number;
  signal: AbortSignal;
}

export interface CallOptions {
  /** When it aborts, the call rejects with its reason. */
  signal?: AbortSignal;
  /** Overrides the client's default request timeout. */
  timeoutMs?: number;
}

export interface WriteOptions extends CallOptions {
  fieldManager?: string;
}

export type PatchKind = "merge" | "json" | "apply";

/** What everything above this package needs of the Kubernetes API. Failures are ElastiErrors of this package's table. */
export interface KubeClient {
  get<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options?: CallOptions & { subresource?: string },
  ): Promise<T>;
  list<T extends KubeObject>(resource: Resource, options?: ListOptions): Promise<KubeList<T>>;
  create<T extends KubeObject>(resource: Resource, object: T, options?: WriteOptions): Promise<T>;
  /** PUT; the object's resourceVersion is the precondition. */
  replace<T extends KubeObject>(
    resource: Resource,
    object: T,
    options?: WriteOptions & { subresource?: string },
  ): Promise<T>;
  /**
   * PATCH. `merge` is application/merge-patch+json (put `metadata.resourceVersion` into the body as precondition), `json`
   * application/json-patch+json, `apply` server-side apply (needs `fieldManager`, may `force`). With `dryRun` it answers with what
   * would be, and keeps nothing.
   */
  patch<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    kind: PatchKind,
    body: unknown,
    options?: WriteOptions & { subresource?: string; force?: boolean; dryRun?: boolean },
  ): Promise<T>;
  delete(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options?: WriteOptions & {
      propagationPolicy?: "Background" | "Foreground" | "Orphan";
      resourceVersion?: string;
      uid?: string;
      gracePeriodSeconds?: number;
    },
  ): Promise<void>;
  /**
   * One watch connection, from `resourceVersion`, with bookmarks. Ends when the server ends it or `signal` aborts; throws
   * what the server or the socket says.
   */
  watch<T extends KubeObject>(resource: Resource, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  /** Any other call, e.g. discovery or /version. */
  raw<T>(method: "GET" | "POST", path: string, body?: unknown, options?: CallOptions): Promise<T>;
  close(): Promise<void>;
}
