import { type ElastiService, keyOf, type Notification, type NotificationReply } from "@elasti/api";
import { type Clock, errorText, type Logger } from "@elasti/core";
import { isConflict, type KubeClient, resources } from "@elasti/kube";
import type { ScaleHandler, TargetRef, WakeRequest } from "@elasti/scaling";
import { operatorErrors } from "./errors.ts";
import { type ClusterView, identityOf, type StoredElastiService } from "./lifecycle/cluster-view.ts";
import type { Events, TargetView } from "./lifecycle/contracts.ts";
import type { OverrideReader } from "./lifecycle/override-of.ts";
import { phaseEntry } from "./lifecycle/phase-entry.ts";
import { nextForWake, type Observation } from "./lifecycle/phases.ts";
import type { StatusWriter } from "./lifecycle/status-writer.ts";
import type { Journal } from "./policy-hooks.ts";

/** Steps of one wake; more would mean that somebody else keeps changing the same objects. */
const MAX_STEPS = 8;
/** Writes by which a wake is claimed; the leader writes status about as often when a wake begins. */
const CLAIM_ATTEMPTS = 4;

/** What a wake has to know of the target's autoscalers, and to tell them. */
export interface WakeAutoscalers {
  wanted(es: ElastiService): { readonly replicas: number; readonly autoscaled: boolean };
  /** Resolves when the target may be scaled up; never fails, and never takes long. */
  beforeWake(es: ElastiService): Promise<void>;
}

export interface WakerOptions {
  client: KubeClient;
  view: ClusterView;
  targets: TargetView;
  scale: ScaleHandler;
  status: StatusWriter;
  autoscalers: WakeAutoscalers;
  overrideOf: OverrideReader;
  events: Events;
  journal?: Journal;
  clock: Clock;
  logger: Logger;
  /** Holds that resolvers report for a service. */
  held: (namespace: string, service: string) => number;
  /** The ElastiService that has the Service, of several that name it. */
  ownerOf: (namespace: string, service: string) => StoredElastiService | undefined;
  /** Told that a service is being woken, so that its reconcile follows. */
  onWake: (key: string) => void;
}

/** Wakes a service for a hold, on any replica of the operator: the shortest way out of each phase. */
export class Waker {
  readonly #options: WakerOptions;
  readonly #running = new Map<string, Promise<NotificationReply>>();

  constructor(options: WakerOptions) {
    this.#options = options;
  }

  /** Calls for one service that come together share one answer. @throws ElastiError to be answered as a problem document */
  wake({ namespace, svc, epoch }: Notification): Promise<NotificationReply> {
    const key = keyOf(namespace, svc);
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const reply = this.#wake(namespace, svc, epoch ?? 0).finally(() => this.#running.delete(key));
    this.#running.set(key, reply);
    return reply;
  }

  async #wake(namespace: string, service: string, epochSeen: number): Promise<NotificationReply> {
    const { ownerOf, onWake } = this.#options;
    let es = ownerOf(namespace, service);
    if (es === undefined) {
      throw operatorErrors.ELASTI_UNKNOWN_SERVICE(
        `no ElastiService in namespace ${namespace} names the service ${service}`,
      );
    }
    // the resolver has seen more than our watch: what we would decide on is old
    if (epochSeen > (es.status?.epoch ?? 0)) es = await this.#fresh(es);
    this.#mustNotBePinned(es);
    const { phase, epoch } = es.status ?? {};
    if (phase !== "Serving") {
      this.#options.logger.info({ namespace, service, phase, epoch, reason: "notified" }, "requests wait");
    }
    onWake(keyOf(namespace, es.metadata.name));

    let fence: Observation["fence"] = "none";
    let scaled: { from: number; to: number; outcome: "scaled" | "already-awake" | "in-progress" } | undefined;
    for (let count = 0; count < MAX_STEPS; count++) {
      const target = this.#options.targets.of(es);
      if (target.kind !== "found")
        throw operatorErrors.ELASTI_WAKE_FAILED(target.message, { details: { reason: target.reason } });
      const { phase } = es.status ?? {};
      // asleep it is at zero, unless somebody has just raised it: a watch that says so may only be behind, and the scale-up will tell
      const replicas = scaled?.to ?? (phase === "Asleep" ? 0 : target.replicas);
      const step = nextForWake({ phase, replicas, fence, target: "found" });
      if (step.do === "wait") {
        if (scaled?.outcome === "scaled") await this.#claim(es);
        return reply(es, scaled?.outcome ?? "already-awake", replicas);
      }
      try {
        if (step.do === "scale-up") {
          scaled = await this.#scaleUp(es, target.ref);
        } else if (step.do === "fence-target") {
          const { landed, replicas: now } = await this.#options.scale.fence({
            ref: target.ref,
            of: identityOf(es),
            epoch: es.status?.epoch ?? 0,
            ...this.#options.autoscalers.wanted(es),
          });
          fence = landed ? "landed" : "kept";
          if (landed) scaled = { from: 0, to: now, outcome: "scaled" };
        } else if (step.do === "set-phase") {
          const atMs = this.#options.clock.now();
          const now = new Date(atMs).toISOString();
          const { phase: from } = es.status ?? {};
          es = await this.#options.status.setPhase(es, step.phase, {
            lastActiveTime: now,
            ...(step.phase === "Waking"
              ? {
                  lastScaledUpTime: now,
                  // it has slept, also where another replica has raised it before we could
                  lastWake: { time: now, reason: "request", fromReplicas: 0, toReplicas: replicas },
                }
              : {}),
          });
          const { phase, epoch } = es.status ?? {};
          const change = { es, from, to: step.phase, why: step.why, before: undefined, now: replicas, atMs };
          const entry = phaseEntry({
            ...change,
            ruling: { sleep: undefined, by: undefined },
            wakeReason: "request",
            byOthers: false,
          });
          if (entry !== undefined) this.#options.journal?.record(entry);
          this.#options.events.record(es, "Normal", step.phase === "Waking" ? "Woken" : "SleepUndone", step.why);
          this.#options.logger.info({ namespace, service, phase, epoch, reason: step.why }, "phase");
        }
      } catch (error) {
        if (!isConflict(error)) throw error;
        es = await this.#fresh(es);
        this.#mustNotBePinned(es);
        fence = "none";
      }
    }
    return reply(es, "in-progress", scaled?.to ?? 0);
  }

  /**
   * The leader may have seen our raise before our status, and have taken it for that of somebody else. Failing is no harm: it
   * takes two of them to be called a contest.
   */
  async #claim(es: StoredElastiService): Promise<void> {
    const { status, logger } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        // after a conflict the leader has written what else it says of the wake
        const seen = attempt === 1 ? es : await this.#fresh(es);
        const { phase, epoch, lastWake, raises = [] } = seen.status ?? {};
        if (phase !== "Waking" || lastWake?.reason !== "manual") return;
        await status.write(seen, {
          lastWake: { ...lastWake, reason: "request" },
          raises: raises.filter((raise) => raise.epoch !== epoch),
        });
        return;
      } catch (error) {
        if (isConflict(error) && attempt < CLAIM_ATTEMPTS) continue;
        logger.debug({ service: es.spec.service, error: errorText(error) }, "wake could not be claimed");
        return;
      }
    }
  }

  async #scaleUp(es: StoredElastiService, ref: TargetRef) {
    const { scale, events, held, autoscalers, ownerOf } = this.#options;
    const namespace = es.metadata.namespace ?? "";
    const { replicas, autoscaled } = autoscalers.wanted(es);
    const request: WakeRequest = {
      ref,
      wanted: replicas,
      autoscaled,
      reason: "request",
      ...(es.status?.phase === "Asleep" || es.status?.phase === "Sealed"
        ? { asleep: { ...identityOf(es), epoch: es.status.epoch ?? 0 } }
        : {}),
    };
    await autoscalers.beforeWake(es);
    try {
      const result = await scale.wake(request);
      if (result.outcome === "scaled") {
        events.record(
          es,
          "Normal",
          "SuccessToScale",
          `scaled ${ref.name} from ${result.from} to ${result.to} for a request`,
        );
      }
      const isAsked = (): boolean =>
        held(namespace, es.spec.service) > 0 && !this.#isPinned(ownerOf(namespace, es.spec.service));
      scale.watchRescale(request, isAsked);
      return result;
    } catch (error) {
      events.record(es, "Warning", "FailedToScale", `scaling ${ref.name} up failed: ${errorText(error)}`);
      throw error;
    }
  }

  #isPinned(es: StoredElastiService | undefined): boolean {
    // deleted, it is given back awake
    if (es === undefined || es.metadata.deletionTimestamp !== undefined) return false;
    const { found } = this.#options.overrideOf(es);
    if (found.state !== "active") return false;
    return found.override.kind === "pin" && found.override.replicas === 0;
  }

  /** Resolvers that do not know it yet come again; from those that do, nobody comes. */
  #mustNotBePinned(es: StoredElastiService): void {
    if (!this.#isPinned(es)) return;
    const { namespace, name } = es.metadata;
    throw operatorErrors.ELASTI_PINNED_ASLEEP(`an override keeps ${namespace}/${name} at zero replicas`);
  }

  async #fresh(es: StoredElastiService): Promise<StoredElastiService> {
    const { client, view } = this.#options;
    const { namespace, name } = es.metadata;
    return view.elastiServices.wrote(await client.get<StoredElastiService>(resources.elastiServices, namespace, name));
  }
}

function reply(es: ElastiService, outcome: NotificationReply["outcome"], replicas: number): NotificationReply {
  return {
    message: "Request received successfully!",
    outcome,
    replicas,
    ...(es.status?.phase === undefined ? {} : { phase: es.status.phase }),
    ...(es.status?.epoch === undefined ? {} : { epoch: es.status.epoch }),
  };
}
