import type { Waking } from "@elasti/api";
import { type Clock, type Logger, labelledBy, type Metrics } from "@elasti/core";
import type { KubeClient, Service } from "@elasti/kube";
import { cut, sameWords } from "../controller/conditions.ts";
import type { StoredElastiService } from "../lifecycle/cluster-view.ts";
import type { Events, TargetState } from "../lifecycle/contracts.ts";
import type { Observation } from "../lifecycle/observation.ts";
import { liveSelector } from "../lifecycle/routing.ts";
import type { CreateFailure, Evidence, Patience, PodEvidence } from "./evidence.ts";
import { failureReasons, type Judgement, judge } from "./judge.ts";
import { nodeComingAt } from "./node-outlook.ts";
import { PodWatches } from "./pod-watches.ts";

export interface WakeMonitorDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly events: Events;
  /** Something has changed that a wake waits for. */
  readonly enqueue: (key: string) => void;
}

export interface WakeMonitorOptions {
  readonly patience: Patience;
  /** Services whose pods are watched at once. */
  readonly maxWatches: number;
  /** Age of a wake at which its pods begin to be looked at, in ms: most are over by then. */
  readonly lookAfterMs?: number;
  /** Age of a wake at which status says what it waits for though nothing is wrong, in ms. */
  readonly progressAfterMs?: number;
}

export interface MonitorSubject {
  readonly key: string;
  readonly es: StoredElastiService;
  readonly service: Service | undefined;
  readonly target: TargetState;
  readonly observation: Observation;
  /** Requests are held for it. */
  readonly held: boolean;
}

export interface MonitorAnswer {
  /** What status should say. */
  readonly waking: Waking | undefined;
  /** It may say something else after so long, though nothing changes. */
  readonly againInMs?: number;
}

/**
 * Finds out why a target that was scaled up has no ready pod, and says so in status: resolvers answer with it. Kubernetes goes on
 * trying by itself; what is said is withdrawn as soon as the evidence is.
 */
export class WakeMonitor {
  readonly #deps: WakeMonitorDeps;
  readonly #options: Required<WakeMonitorOptions>;
  readonly #watches: PodWatches;
  readonly #failures;

  constructor(deps: WakeMonitorDeps, options: WakeMonitorOptions) {
    this.#deps = deps;
    this.#options = { lookAfterMs: 2_000, progressAfterMs: 10_000, ...options };
    this.#watches = new PodWatches(deps, { max: options.maxWatches, onChange: deps.enqueue });
    this.#failures = deps.metrics.counter(
      "elasti_wake_failures_total",
      "Wakes that were found to fail for certain, by reason",
      ["reason"],
      labelledBy("reason", failureReasons),
    );
  }

  async look(subject: MonitorSubject): Promise<MonitorAnswer> {
    const { key, es, observation } = subject;
    if (!isStuck(subject)) {
      this.#watches.release(key);
      return this.#say(subject, undefined);
    }
    const { lookAfterMs, progressAfterMs } = this.#options;
    const evidence = this.#evidence(subject);
    if (evidence === "too-early") return { waking: undefined, againInMs: lookAfterMs - observation.phaseAgeMs };
    // not its turn yet, or not listed yet: what was found stands
    if (evidence === undefined) return { waking: es.status?.waking };
    const judged = await this.#judge(subject, evidence);
    const early = judged?.progress === true && observation.phaseAgeMs < progressAfterMs;
    const againInMs = early ? progressAfterMs - observation.phaseAgeMs : judged?.againInMs;
    return { ...this.#say(subject, early ? undefined : judged), ...(againInMs === undefined ? {} : { againInMs }) };
  }

  forget(key: string): void {
    this.#watches.release(key);
  }

  /** No longer leading. */
  clear(): void {
    this.#watches.clear();
  }

  close(): Promise<void> {
    return this.#watches.close();
  }

  #evidence({ key, es, service, target, observation }: MonitorSubject): Evidence | "too-early" | undefined {
    if (target.kind !== "found") return undefined;
    const { createFailure } = target;
    // the target itself says so, and has no pod that could give hope: there is nothing to look at
    if (createFailure !== undefined && observation.podsLeft === 0) return { pods: [], createFailure, replicas: 0 };
    if (observation.phase === "Waking" && observation.phaseAgeMs < this.#options.lookAfterMs) return "too-early";
    const { kind, name } = es.spec.scaleTargetRef;
    const seen = this.#watches.want(key, {
      namespace: es.metadata.namespace ?? "",
      selector: service === undefined ? {} : liveSelector(service),
      // a Deployment shows it in its conditions
      eventsOf: target.ref.resource.plural === "deployments" ? undefined : { kind, name, uid: target.uid },
    });
    if (seen === undefined) return undefined;
    const failure = seen.createFailure;
    return {
      pods: podsSince(seen.pods, beganMs(es)),
      createFailure: createFailure ?? (isOfThisWake(failure, es) ? failure : undefined),
      replicas: target.statusReplicas,
    };
  }

  async #judge({ key, es }: MonitorSubject, evidence: Evidence): Promise<Judgement | undefined> {
    const { clock, client, logger } = this.#deps;
    const { patience } = this.#options;
    const judged = judge(evidence, clock.now(), patience);
    const history = this.#watches.historyOf(key);
    if (judged?.certain !== true || judged.reason !== "Unschedulable" || history === undefined) return judged;
    const namespace = es.metadata.namespace ?? "";
    const now = clock.now();
    const unasked = evidence.pods.filter(({ uid }) => !history.wasAsked(uid, now, patience.unschedulableMs));
    const coming = new Map<string, number | undefined>();
    for (const { uid, name } of unasked) {
      const comingMs = await nodeComingAt(client, logger, { namespace, name, uid });
      history.noteNode(uid, now, comingMs);
      coming.set(uid, comingMs);
    }
    if (unasked.length === 0) return judged;
    const pods = evidence.pods.map((pod) =>
      coming.has(pod.uid) ? { ...pod, nodeComingMs: coming.get(pod.uid) } : pod,
    );
    return judge({ ...evidence, pods }, clock.now(), patience);
  }

  #say({ es }: MonitorSubject, judged: Judgement | undefined): MonitorAnswer {
    const { clock, logger, events } = this.#deps;
    const before = es.status?.waking;
    const { namespace } = es.metadata;
    const { service } = es.spec;
    const wasCertain = before?.certain === true;
    const found = judged === undefined ? undefined : settled(judged, before);
    if (wasCertain && found?.certain !== true)
      logger.info({ namespace, service, reason: before.reason }, "wake no longer fails for certain");
    if (found === undefined) return { waking: undefined };
    const { reason, message, certain } = found;
    const same = before?.reason === reason && before.certain === certain;
    if (certain && !(wasCertain && before.reason === reason)) {
      this.#failures.inc({ reason });
      events.record(es, "Warning", "WakeFailed", `${reason}: ${message}`);
      logger.warn({ namespace, service, reason, error: message }, "wake fails for certain");
    }
    return {
      waking: {
        reason,
        message: same && sameWords(before.message, message) ? before.message : message,
        since: before?.reason === reason ? before.since : new Date(clock.now()).toISOString(),
        certain,
      },
    };
  }
}

/**
 * What was counted is lost with the process that counted it; what the last one found certain is so for the next one, as long as
 * the evidence is of the same kind.
 */
function settled(judged: Judgement, before: Waking | undefined): Judgement {
  const isCounted = judged.reason === "ImagePullFailed" || judged.reason === "ContainerNotCreated";
  const certain = judged.certain || (isCounted && before?.certain === true && before.reason === judged.reason);
  return { ...judged, certain, message: cut(judged.message) };
}

/** Whether it should have a ready pod and has none, and somebody is to know why. */
function isStuck({ es, target, service, observation, held }: MonitorSubject): boolean {
  const { phase, replicas, readyPods, answered, lifecycle } = observation;
  if (lifecycle !== "live" || target.kind !== "found" || service === undefined) return false;
  if (replicas === 0 || readyPods > 0 || (phase === "Waking" && answered)) return false;
  // a service that is awake is looked at only once somebody waits for it, and from there on until it is well
  return phase === "Waking" || (phase === "Serving" && (held || es.status?.waking !== undefined));
}

/** The first failure can come before the phase is written. */
const slackMs = 5_000;

const beganMs = ({ status }: StoredElastiService): number =>
  status?.phaseTime === undefined ? 0 : Date.parse(status.phaseTime);

/** Events outlive what they tell of. */
function isOfThisWake(failure: CreateFailure | undefined, es: StoredElastiService): boolean {
  return failure !== undefined && failure.sinceMs >= beganMs(es) - slackMs;
}

/** Without those that had ended before: Kubernetes keeps thousands of pods that were evicted, and they tell nothing of this wake. */
export function podsSince(pods: readonly PodEvidence[], sinceMs: number): PodEvidence[] {
  const hasEnded = ({ phase }: PodEvidence) => phase === "Failed" || phase === "Succeeded";
  return pods.filter((pod) => !hasEnded(pod) || pod.createdMs >= sinceMs - slackMs);
}
