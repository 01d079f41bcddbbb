import { keyOf, specDefaults } from "@elasti/api";
import { type Clock, errorText } from "@elasti/core";
import type { EndpointSlice, Service } from "@elasti/kube";
import { cooldownOf, enabledPeriodAt, type WakeReason } from "@elasti/scaling";
import type { SessionHub } from "../elastiserver/session-hub.ts";
import type { ClusterView, StoredElastiService } from "../lifecycle/cluster-view.ts";
import { contestOf } from "../lifecycle/contest.ts";
import type { TargetState, TargetView, Verdicts } from "../lifecycle/contracts.ts";
import { maySleep, type SleepAnswer } from "../lifecycle/may-sleep.ts";
import { type Memories, runOf } from "../lifecycle/memory.ts";
import { type Facts, ourSlices, privateNameOf } from "../lifecycle/observe.ts";
import { parkBar } from "../lifecycle/park-reverts.ts";
import { isParked } from "../lifecycle/routing.ts";
import { cooldownMsOf } from "../sleep-loop.ts";
import { namesService } from "./contention.ts";
import { ownerAmong } from "./service-check.ts";

/** What the autoscalers of a target have to say. */
export interface AutoscalerSource {
  obstacle(es: StoredElastiService): { readonly reason: string; readonly message: string } | undefined;
  due(es: StoredElastiService): Facts["autoscalerDue"];
}

export interface FactsOptions {
  view: ClusterView;
  targets: TargetView;
  hub: SessionHub;
  autoscalers: AutoscalerSource;
  /** Another operator, while one runs. */
  others: { readonly obstacle: { readonly reason: string; readonly message: string } | undefined };
  verdicts: Verdicts;
  memories: Memories;
  clock: Clock;
  /** A verdict older than this says nothing about now, in ms. */
  verdictMaxAgeMs: number;
  /** Least grace, two scrape intervals, in ms. */
  minGraceMs: number;
  /** Names of every resolver that may carry a request. */
  requiredResolvers: () => readonly string[];
}

/** Gathers what is known of a service: of the cluster, of the resolvers, of its triggers. */
export class FactsGatherer {
  readonly #options: FactsOptions;

  constructor(options: FactsOptions) {
    this.#options = options;
  }

  /** Whether this ElastiService alone would let its target sleep. */
  maySleepAlone(es: StoredElastiService): SleepAnswer {
    const { hub, verdicts, memories, clock, verdictMaxAgeMs, requiredResolvers, autoscalers } = this.#options;
    const namespace = es.metadata.namespace ?? "";
    const key = keyOf(namespace, es.metadata.name);
    const now = clock.now();
    const traffic = hub.traffic(namespace, es.spec.service);
    const memory = memories.of(key);
    const { triggers = [] } = es.spec;
    const countsTraffic = triggers.length === 0 || triggers.some(({ type }) => type === "traffic");
    const period = enabledPeriodAt(es.spec.enabledPeriod, now);
    return maySleep({
      nowMs: now,
      cooldown: cooldownOf({
        activityMs: activityOf(es, memory.lastActiveMs, traffic.lastRequestAtMs),
        cooldownMs: cooldownMsOf(es),
        nowMs: now,
      }),
      verdict: verdicts.latest(key),
      verdictMaxAgeMs,
      period: {
        inside: period.inside,
        ...(period.problem === undefined ? {} : { problem: errorText(period.problem) }),
      },
      inFlight: traffic.inFlight,
      held: traffic.held,
      silentResolvers: requiredResolvers().filter((id) => !traffic.reporters.includes(id)),
      notBeforeMs: memory.notBeforeMs,
      blind: countsTraffic ? this.#parkBarOf(es) : undefined,
      contestedUntilMs: contestOf(es, now)?.untilMs,
      autoscaler: this.#options.others.obstacle ?? autoscalers.obstacle(es),
    });
  }

  /** How long nodes and connections are given to follow a change, in ms: the longest of those that sleep together, so that none waits for another in Sealed. */
  graceMsOf(es: StoredElastiService): number {
    const wanted = [es, ...this.peersOf(es)].map(({ spec }) => spec.routing?.graceSeconds ?? specDefaults.graceSeconds);
    return Math.max(this.#options.minGraceMs, ...wanted.map((seconds) => seconds * 1_000));
  }

  /** The other ElastiServices with the same target, as far as they are acted on: one that is refused stops nobody. */
  peersOf(es: StoredElastiService): StoredElastiService[] {
    const { name, kind } = es.spec.scaleTargetRef;
    const { view } = this.#options;
    const namespace = es.metadata.namespace ?? "";
    return view
      .elastiServicesOfTarget(namespace, name)
      .filter((other) => other.metadata.name !== es.metadata.name && sameKind(other.spec.scaleTargetRef.kind, kind))
      .filter(
        ({ metadata, spec, status }) =>
          status?.phase !== "Degraded" &&
          ownerAmong(view.elastiServicesOf(namespace, spec.service))?.metadata.uid === metadata.uid,
      );
  }

  /** Why the park is not to be used, if it is not. */
  #parkBarOf(es: StoredElastiService): { reason: string; message: string } | undefined {
    const { view, targets, clock } = this.#options;
    if (namesService(es, targets.of(es)))
      return {
        reason: "RolloutService",
        message: "the target is an Argo Rollout that names the Service, so resolvers cannot see all of its traffic",
      };
    const service = view.services.get(es.metadata.namespace ?? "", es.spec.service);
    if (parkBar(es, service?.metadata.uid, clock.now()) === undefined) return undefined;
    return {
      reason: "SelectorReverted",
      message: "somebody takes the park off the Service, so resolvers do not see all of its traffic",
    };
  }

  gather(
    es: StoredElastiService,
    about: {
      service: Service | undefined;
      refused: string | undefined;
      desiredSlices: readonly EndpointSlice[];
      slicesMatch: (ours: readonly EndpointSlice[]) => boolean;
      namespaceGoing: boolean;
    },
  ): { facts: Facts; target: TargetState; answer: SleepAnswer; wakeReason: WakeReason } {
    const { view, targets, hub, verdicts, memories, clock } = this.#options;
    const namespace = es.metadata.namespace ?? "";
    const key = keyOf(namespace, es.metadata.name);
    const memory = memories.of(key);
    const publicSlices = view.slicesOf(namespace, es.spec.service);
    const target = targets.of(es);
    const { held } = hub.traffic(namespace, es.spec.service);
    const peers = this.peersOf(es);
    const own = this.maySleepAlone(es);
    const answer = own.may ? (peers.map((peer) => this.maySleepAlone(peer)).find(({ may }) => !may) ?? own) : own;
    const triggered = es.status?.phase === "Asleep" && verdicts.latest(key)?.kind === "Active";
    const period = enabledPeriodAt(es.spec.enabledPeriod, clock.now());
    const scheduled = !period.inside && period.problem === undefined;
    // whoever waits for another Service of the target wakes this one, too
    const asked = held > 0 || peers.some(({ spec }) => hub.traffic(namespace, spec.service).held > 0);
    const ours = ourSlices(
      publicSlices,
      about.desiredSlices.map(({ metadata }) => metadata.name),
    );
    const routed = ours.length > 0 || (about.service !== undefined && isParked(about.service));
    if (routed || memory.routedAtMs === undefined) memory.routedAtMs = clock.now();
    const facts: Facts = {
      es,
      nowMs: clock.now(),
      service: about.service,
      refused: about.refused,
      publicSlices,
      privateSlices: view.slicesOf(namespace, privateNameOf(es)),
      desiredSlices: about.desiredSlices,
      slicesMatch: about.slicesMatch(ours),
      target,
      namespaceGoing: about.namespaceGoing,
      parkBarred: this.#parkBarOf(es) !== undefined,
      answeredEpoch: hub.answeredEpoch(namespace, es.spec.service),
      routedAtMs: memory.routedAtMs,
      graceMs: this.graceMsOf(es),
      maySleep: answer.may,
      wantsAwake: held > 0 || triggered || scheduled,
      peersSealed: peers.every(({ status }) => status?.phase === "Sealed"),
      fence: memory.fence?.epoch === (es.status?.epoch ?? 0) ? memory.fence.outcome : "none",
      run: runOf(es, memory),
      autoscalerDue: this.#options.autoscalers.due(es),
    };
    return {
      facts,
      target,
      answer,
      wakeReason: asked ? "request" : triggered ? "trigger" : scheduled ? "schedule" : "manual",
    };
  }
}

/** The activity known of a service, from status, from this process and from the resolvers; at the least its creation. */
function activityOf(
  { metadata, status }: StoredElastiService,
  remembered: number,
  requested: number | undefined,
): number[] {
  const written = [metadata.creationTimestamp, status?.lastActiveTime, status?.lastScaledUpTime];
  return [remembered, requested ?? 0, ...written.map((time) => (time === undefined ? 0 : Date.parse(time)))];
}

/** `Deployment` and `deployments` name one kind. */
function sameKind(a: string, b: string): boolean {
  const plain = (kind: string) => kind.toLowerCase().replace(/s$/, "");
  return plain(a) === plain(b);
}
