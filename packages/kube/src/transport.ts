import type { Resource } from "./types.ts";

export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "raw";

/** One request to the API server, before it becomes bytes. */
export interface KubeRequest {
  /** `call` has one answer; `watch` is a stream of events. */
  readonly kind: "call" | "watch";
  readonly verb: Verb;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path without the query. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly resource?: Resource | undefined;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
  /** Content type of the body. */
  readonly contentType?: string | undefined;
  /** What is sent as JSON. */
  readonly body?: unknown;
  /** Aborts at the request timeout, when the caller aborts, and when the client closes. */
  readonly signal: AbortSignal;
  /** Says, from any moment on, whether bytes may have left this process: then the outcome of a failed write is unknown. */
  readonly progress: { sent: boolean };
}

/** One line of a watch; `ERROR` carries a metav1.Status. */
export interface RawWatchEvent {
  type: string;
  object: unknown;
}

export interface KubeResponse {
  readonly status: number;
  /** `Retry-After` in seconds where it was given. */
  readonly retryAfterSeconds?: number | undefined;
  /** The parsed body of a call, or of a watch that was refused; text where it is no JSON. */
  readonly body: unknown;
  /** The events of an accepted watch; ends with the stream, throws when it is cut. */
  readonly events?: AsyncIterable<RawWatchEvent> | undefined;
}

/** Sends a request. Throws ELASTI_KUBE_UNAVAILABLE when the socket fails. */
export type Send = (request: KubeRequest) => Promise<KubeResponse>;

/** A layer between the client and its socket: the place for faults and for measuring. */
export type Transport = (request: KubeRequest, next: Send) => Promise<KubeResponse>;

/** `layers` around `send`, the first outermost. */
export function composeTransports(layers: readonly Transport[], send: Send): Send {
  return layers.reduceRight<Send>((next, layer) => (request) => layer(request, next), send);
}
