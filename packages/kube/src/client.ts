import { type Clock, type ElastiError, type Logger, type Metrics, silentLogger, systemClock } from "@elasti/core";
import type { Cluster } from "./cluster.ts";
import { Deadline, timedOut } from "./deadline.ts";
import { describeRequest, errorOfAnswer, isStatus, kubeErrors } from "./errors.ts";
import { HttpTransport } from "./http-transport.ts";
import { kubeMetrics } from "./metrics.ts";
import { composeTransports, type KubeRequest, type KubeResponse, type Send, type Transport } from "./transport.ts";
import type {
  CallOptions,
  KubeClient,
  KubeList,
  KubeObject,
  ListOptions,
  PatchKind,
  Resource,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "./types.ts";

export interface KubeClientOptions {
  cluster: Cluster;
  logger?: Logger;
  clock?: Clock;
  metrics?: Metrics;
  /** Deadline of a call from its start to the last byte of its answer, and of a watch to the head of its answer. */
  requestTimeoutMs?: number;
  /** Layers between the client and its socket, the first outermost. */
  transport?: Transport | readonly Transport[];
  maxConnections?: number;
  maxWatches?: number;
}

/** A client of one API server. `close()` cuts what is open. */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  return new HttpKubeClient(options);
}

const patchTypes: Readonly<Record<PatchKind, string>> = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  // a JSON text is a YAML text
  apply: "application/apply-patch+yaml",
};

/** The REST path of a collection, an object or a subresource. */
export function resourcePath(
  resource: Resource,
  namespace: string | undefined,
  name?: string,
  subresource?: string,
): string {
  const parts = resource.group === "" ? ["api", resource.version] : ["apis", resource.group, resource.version];
  if (resource.namespaced && namespace !== undefined) parts.push("namespaces", namespace);
  parts.push(resource.plural);
  if (name !== undefined) parts.push(name);
  if (subresource !== undefined) parts.push(subresource);
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** `v1`, `apps/v1` */
export function apiVersionOf(resource: Pick<Resource, "group" | "version">): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

type Ask = Omit<KubeRequest, "signal" | "progress" | "kind" | "query"> & {
  query?: Record<string, string | number | boolean | undefined>;
};

class HttpKubeClient implements KubeClient {
  readonly #http: HttpTransport;
  readonly #send: Send;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: ReturnType<typeof kubeMetrics> | undefined;
  readonly #requestTimeoutMs: number;
  readonly #closed = new AbortController();

  constructor(options: KubeClientOptions) {
    const { cluster, transport = [] } = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics === undefined ? undefined : kubeMetrics(options.metrics);
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 10_000;
    this.#http = new HttpTransport({
      cluster,
      connectTimeoutMs: this.#requestTimeoutMs,
      maxConnections: options.maxConnections ?? 16,
      maxPending: 4_096,
      maxWatches: options.maxWatches ?? 256,
    });
    const layers = typeof transport === "function" ? [transport] : transport;
    this.#send = composeTransports(layers, (request) => this.#http.send(request));
  }

  get<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options: CallOptions & { subresource?: string } = {},
  ): Promise<T> {
    const { subresource } = options;
    const path = objectPath(resource, namespace, name, subresource);
    return this.#object<T>({ verb: "get", method: "GET", path, resource, namespace, name, subresource }, options);
  }

  async list<T extends KubeObject>(resource: Resource, options: ListOptions = {}): Promise<KubeList<T>> {
    const { namespace, labelSelector, fieldSelector, limit, resourceVersion } = options;
    const list = await this.#call<KubeList<T>>(
      {
        verb: "list",
        method: "GET",
        path: resourcePath(resource, namespace),
        resource,
        namespace,
        query: { labelSelector, fieldSelector, limit, continue: options.continue, resourceVersion },
      },
      options,
    );
    if (!isObject(list) || !isObject(list.metadata) || typeof list.metadata.resourceVersion !== "string") {
      throw kubeErrors.ELASTI_KUBE_BAD_RESPONSE(`list ${resource.plural}: the answer is not a list`);
    }
    // built-in kinds leave these out inside a list, and items is null when it is empty
    const apiVersion = apiVersionOf(resource);
    const items = (list.items ?? []).map((item) => ({ ...item, apiVersion, kind: resource.kind }));
    return { ...list, items };
  }

  create<T extends KubeObject>(resource: Resource, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace, name } = object.metadata;
    if (resource.namespaced && namespace === undefined) throw new TypeError(`${resource.kind} needs a namespace`);
    const path = resourcePath(resource, namespace);
    const query = { fieldManager: options.fieldManager };
    return this.#object<T>(
      { verb: "create", method: "POST", path, resource, namespace, name, query, body: object },
      options,
    );
  }

  replace<T extends KubeObject>(
    resource: Resource,
    object: T,
    options: WriteOptions & { subresource?: string } = {},
  ): Promise<T> {
    const { namespace, name } = object.metadata;
    const { subresource } = options;
    const path = objectPath(resource, namespace, name, subresource);
    const query = { fieldManager: options.fieldManager };
    return this.#object<T>(
      { verb: "update", method: "PUT", path, resource, namespace, name, subresource, query, body: object },
      options,
    );
  }

  patch<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    kind: PatchKind,
    body: unknown,
    options: WriteOptions & { subresource?: string; force?: boolean; dryRun?: boolean } = {},
  ): Promise<T> {
    const { subresource, fieldManager, force } = options;
    const dryRun = options.dryRun === true ? "All" : undefined;
    if (kind === "apply" && fieldManager === undefined) throw new TypeError("apply needs a fieldManager");
    return this.#object<T>(
      {
        verb: "patch",
        method: "PATCH",
        path: objectPath(resource, namespace, name, subresource),
        resource,
        namespace,
        name,
        subresource,
        contentType: patchTypes[kind],
        query: { fieldManager, force, dryRun },
        body,
      },
      options,
    );
  }

  async delete(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options: Parameters<KubeClient["delete"]>[3] = {},
  ): Promise<void> {
    const { propagationPolicy, resourceVersion, uid, gracePeriodSeconds } = options;
    const preconditions = resourceVersion === undefined && uid === undefined ? undefined : { uid, resourceVersion };
    await this.#call<unknown>(
      {
        verb: "delete",
        method: "DELETE",
        path: objectPath(resource, namespace, name),
        resource,
        namespace,
        name,
        body: { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy, preconditions, gracePeriodSeconds },
      },
      options,
    );
  }

  async *watch<T extends KubeObject>(resource: Resource, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds, signal } = options;
    const request = this.#request(
      {
        verb: "watch",
        method: "GET",
        path: resourcePath(resource, namespace),
        resource,
        namespace,
        query: {
          watch: true,
          allowWatchBookmarks: true,
          labelSelector,
          fieldSelector,
          resourceVersion,
          timeoutSeconds,
        },
      },
      "watch",
    );
    const deadline = new Deadline(this.#clock, this.#requestTimeoutMs, [signal, this.#closed.signal]);
    const sent = { ...request, signal: deadline.signal };
    try {
      const response = await this.#perform(sent, deadline);
      deadline.stopTimer();
      if (response.events === undefined) {
        throw kubeErrors.ELASTI_KUBE_BAD_RESPONSE(`${describeRequest(request)}: the answer is not a stream`);
      }
      for await (const { type, object } of response.events) {
        if (type === "ERROR") {
          const code = isStatus(object) ? (object.code ?? 500) : 500;
          throw errorOfAnswer(request, code, object);
        }
        if (type !== "ADDED" && type !== "MODIFIED" && type !== "DELETED" && type !== "BOOKMARK") {
          throw kubeErrors.ELASTI_KUBE_BAD_RESPONSE(`${describeRequest(request)}: unknown event type ${type}`);
        }
        if (!isObject(object) || !("metadata" in object)) {
          throw kubeErrors.ELASTI_KUBE_BAD_RESPONSE(`${describeRequest(request)}: event without an object`);
        }
        yield { type, object: object as unknown as T };
      }
    } catch (error) {
      // an abort by the caller ends the stream, it is no failure of it
      if (signal.aborted) return;
      throw this.#closed.signal.aborted ? this.#closed.signal.reason : error;
    } finally {
      // closes the socket even when a layer left its stream unfinished
      deadline.abort();
    }
  }

  raw<T>(method: "GET" | "POST", path: string, body?: unknown, options: CallOptions = {}): Promise<T> {
    const url = new URL(path, "http://server");
    const query = Object.fromEntries(url.searchParams);
    return this.#call<T>({ verb: "raw", method, path: url.pathname, query, body }, options);
  }

  async close(): Promise<void> {
    if (!this.#closed.signal.aborted) this.#closed.abort(kubeErrors.ELASTI_KUBE_CLOSED("client is closed"));
    await this.#http.close();
  }

  #request(ask: Ask, kind: KubeRequest["kind"]): Omit<KubeRequest, "signal"> {
    const query: Record<string, string> = {};
    for (const [key, value] of Object.entries(ask.query ?? {})) {
      if (value !== undefined) query[key] = String(value);
    }
    return { ...ask, kind, query, progress: { sent: false } };
  }

  async #object<T extends KubeObject>(ask: Ask, options: CallOptions): Promise<T> {
    const body = await this.#call<T>(ask, options);
    if (!isObject(body) || !isObject(body.metadata)) {
      throw kubeErrors.ELASTI_KUBE_BAD_RESPONSE(`${describeRequest(ask)}: the answer is not an object`, {
        details: { sent: ask.method !== "GET" },
      });
    }
    return body;
  }

  async #call<T>(ask: Ask, options: CallOptions): Promise<T> {
    const request = this.#request(ask, "call");
    const outside = options.signal === undefined ? [] : [options.signal];
    const deadline = new Deadline(this.#clock, options.timeoutMs ?? this.#requestTimeoutMs, [
      ...outside,
      this.#closed.signal,
    ]);
    try {
      const response = await this.#perform({ ...request, signal: deadline.signal }, deadline);
      return response.body as T;
    } finally {
      deadline.end();
    }
  }

  /** The answer, when it is a good one and comes in time. Layers that ignore the signal do not hold the caller. */
  async #perform(request: KubeRequest, deadline: Deadline): Promise<KubeResponse> {
    const startedAt = this.#clock.monotonic();
    let outcome = "error";
    try {
      request.signal.throwIfAborted();
      const response = await deadline.race(this.#send(request));
      outcome = String(response.status);
      if (response.status >= 200 && response.status < 300) return response;
      throw errorOfAnswer(request, response.status, response.body, response.retryAfterSeconds);
    } catch (error) {
      if (error !== timedOut) throw error;
      outcome = "timeout";
      throw this.#timeout(request, deadline);
    } finally {
      const { verb, resource } = request;
      const elapsedMs = this.#clock.monotonic() - startedAt;
      this.#metrics?.requests.inc({ verb, resource: resource?.plural ?? "", code: outcome });
      this.#logger.trace({ verb, path: request.path, code: outcome, ms: elapsedMs }, "kubernetes request");
    }
  }

  #timeout(request: KubeRequest, deadline: Deadline): ElastiError {
    return kubeErrors.ELASTI_KUBE_TIMEOUT(
      `${describeRequest(request)}: no answer within ${deadline.timeoutMs} ms${request.progress.sent ? ", outcome unknown" : ""}`,
      { details: { sent: request.progress.sent } },
    );
  }
}

function objectPath(resource: Resource, namespace: string | undefined, name: string, subresource?: string): string {
  if (resource.namespaced && namespace === undefined) throw new TypeError(`${resource.kind} needs a namespace`);
  // an empty name would address the whole collection: a DELETE of everything
  if (name === "") throw new TypeError(`${resource.kind} needs a name`);
  return resourcePath(resource, namespace, name, subresource);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
