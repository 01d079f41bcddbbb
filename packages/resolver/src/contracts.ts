import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { TrafficReport as ApiTrafficReport, ServedRoute } from "@elasti/api";

/** A pod that can take requests on one port. */
export interface PodTarget {
  readonly uid: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/**
 * endpoints/: the usable pods of one service, by the rules of the protocol (taint, probing, readiness). Objects of one
 * pod and port stay the same from call to call while the pod stays.
 */
export interface PodSource {
  /** Pods that may be sent to now. @param portName name of the Service port; undefined for a Service with one unnamed port */
  usable(portName: string | undefined): readonly PodTarget[];
  /** The usable set has changed. Returns what ends the subscription. */
  onChange(listener: () => void): () => void;
  /** Probing runs only while somebody waits. */
  setDemand(waiting: boolean): void;
  /** A connect failed: not usable until probed again. */
  reportFailure(pod: PodTarget): void;
  /** When the pod first came into view (clock.monotonic), for Server-Timing. */
  seenAt?(pod: PodTarget): number | undefined;
  close(): void;
}

/**
 * forward/: what became of one try of one request on one pod. 'not-sent': nothing reached the pod, and another pod may be
 * tried with the same request (its body unread). 'answered': the client got an answer (maybe 502, or a reset after bytes
 * were sent). 'client-left': the client went away.
 */
export type ForwardOutcome =
  | {
      readonly kind: "answered";
      readonly status: number;
      /** False when the answer is the forwarder's own (502, reset). Left out means that the pod answered. */
      readonly fromPod?: boolean;
    }
  | { readonly kind: "not-sent"; readonly error: Error }
  | { readonly kind: "client-left" };

export interface ForwardOptions {
  /**
   * `Server-Timing` metrics of the hold, to be added to the answer beside the pod's own; the forwarder appends
   * `, forward;dur=<ms until the pod's head>`.
   */
  serverTiming?: string;
  /** Value of `elasti-cold-start`: whole ms that the request was held. */
  coldStartMs?: number;
  /** The answer says `Connection: close`, so that the client finds the pods by itself next time. */
  closeConnection: boolean;
}

export interface Forwarder {
  /**
   * Resolves when the answer has been written in full or the exchange was given up. `Expect: 100-continue` is answered
   * here, once a pod takes the body, and is not passed on.
   */
  http(
    request: IncomingMessage,
    response: ServerResponse,
    pod: PodTarget,
    options: ForwardOptions,
  ): Promise<ForwardOutcome>;
  /** Resolves when the upgraded connection has ended (or the pod refused to upgrade, and its answer was passed on). */
  upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    pod: PodTarget,
    options: ForwardOptions,
  ): Promise<ForwardOutcome>;
  close(): Promise<void>;
}

/** Why a wake did not succeed the last time the operator was asked. */
export interface WakeFailure {
  readonly reason: string;
  readonly detail: string;
  /** Waiting on will not help: holds are answered 503 at once. */
  readonly certain: boolean;
}

/** Tells the operator that holds wait; coalesces per service, retries with back-off while `held()` is above zero. */
export interface Activation {
  /** @param epoch the newest epoch that this resolver has seen, for the notification */
  request(namespace: string, service: string, held: () => number, epoch: () => number): void;
  stop(namespace: string, service: string): void;
  lastFailure(namespace: string, service: string): WakeFailure | undefined;
  /** Told when a failure is learned, so that certain ones end the holds at once. Returns what ends the subscription. */
  onFailure(listener: (namespace: string, service: string, failure: WakeFailure) => void): () => void;
  /** When the operator accepted the first notification for those who wait now, or waited last (clock.monotonic), for Server-Timing. */
  acceptedAt?(namespace: string, service: string): number | undefined;
}

/** What the session needs of the rest of the resolver. */
export interface ResolverView {
  /** What each resolver port that is listened on leads to. */
  routes(): readonly ServedRoute[];
  /** `routes` may have changed. */
  onPorts(listener: () => void): () => void;
  /** The numbers of every service that has had traffic, for a new session. */
  traffic(): TrafficReport[];
  /** The numbers of services that changed since the last call; meant for one caller, once a second. */
  takeChanged(): TrafficReport[];
  /** The first request in Draining and the first hold, reported at once. */
  onUrgent(listener: (report: TrafficReport) => void): () => void;
  /** Silent connections that ended while their service was Draining, in the order of their ends, at most 64 each. */
  takeSilent(): SilentReport[];
  /** `takeSilent` has something new. */
  onSilent(listener: () => void): () => void;
  /** Enters the local seal before it returns `ok: true`. */
  seal(namespace: string, service: string, epoch: number, drainEpoch: number): SealAnswer;
}

export type TrafficReport = ApiTrafficReport;

export interface SilentReport {
  readonly namespace: string;
  readonly service: string;
  readonly peers: readonly SilentPeer[];
}

/** A connection that was closed without a byte. `address` is the peer's, without the IPv4-mapped prefix. */
export interface SilentPeer {
  readonly address: string;
  readonly port: number;
  readonly openMs: number;
}

export type SealRefusal = "in-flight" | "request-seen" | "held" | "unknown-epoch" | "unknown-service";
export type SealAnswer = { readonly ok: true } | { readonly ok: false; readonly reason: SealRefusal };

/** endpoints/pick.ts: power of two choices, the less loaded of two random pods. @param inFlightOf load of a pod, as known here */
export type Pick = (pods: readonly PodTarget[], inFlightOf: (pod: PodTarget) => number) => PodTarget | undefined;
