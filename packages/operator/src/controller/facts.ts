import { keyOf, type Route, specDefaults } from "@elasti/api";
import { type Clock, errorText } from "@elasti/core";
import type { EndpointSlice, Service } from "@elasti/kube";
import { arbitrate, cooldownOf, enabledPeriodAt, type WakeReason } from "@elasti/scaling";
import type { SessionHub } from "../elastiserver/session-hub.ts";
import type { ClusterView, StoredElastiService } from "../lifecycle/cluster-view.ts";
import { contestOf } from "../lifecycle/contest.ts";
import type { TargetState, TargetView, Verdicts } from "../lifecycle/contracts.ts";
import { maySleep, type SleepAnswer } from "../lifecycle/may-sleep.ts";
import { type Memories, runOf } from "../lifecycle/memory.ts";
import { type Facts, ourSlices, privateNameOf } from "../lifecycle/observe.ts";
import type { OverrideReader } from "../lifecycle/override-of.ts";
import { parkBar } from "../lifecycle/park-reverts.ts";
import { isParked } from "../lifecycle/routing.ts";
import { type Ruling, rulingOf } from "../lifecycle/ruling.ts";
import { noVotes, type PolicyVotes } from "../policy-hooks.ts";
import { cooldownMsOf } from "../sleep-loop.ts";
import { namesService } from "./contention.ts";
import { ownerAmong } from "./service-check.ts";

/** What the autoscalers of a target have to say. */
export interface AutoscalerSource {
  obstacle(es: StoredElastiService): { readonly reason: string; readonly message: string } | undefined;
  due(es: StoredElastiService): Facts["autoscalerDue"];
  /** `autoscaled`: somebody else has the replicas from one up. */
  wanted(es: StoredElastiService): { readonly autoscaled: boolean };
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
  votes?: Pick<PolicyVotes, "of">;
  overrideOf: OverrideReader;
  clock: Clock;
  /** A verdict older than this says nothing about now, in ms. */
  verdictMaxAgeMs: number;
  /** Least grace, two scrape intervals, in ms. */
  minGraceMs: number;
  /** Names of every resolver that may carry a request. */
  requiredResolvers: () => readonly string[];
}

export interface Gathered {
  readonly facts: Facts;
  readonly target: TargetState;
  readonly answer: SleepAnswer;
  readonly wakeReason: WakeReason;
  readonly ruling: Ruling;
  /** The override as it was written. */
  readonly record: string | undefined;
  /** It asks for replicas, and what the watch shows of them may be of before it was written. */
  readonly unread: boolean;
}

/** Gathers what is known of a service: of the cluster, of the resolvers, of its triggers. */
export class FactsGatherer {
  readonly #options: FactsOptions;

  constructor(options: FactsOptions) {
    this.#options = options;
  }

  /** What its override and the policies have to say now. */
  rulingOf(es: StoredElastiService): Ruling {
    const { found } = this.#options.overrideOf(es);
    const override = found.state === "active" ? found.override : undefined;
    return rulingOf(override, (this.#options.votes ?? noVotes).of(es));
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
      ruling: this.rulingOf(es),
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

  /** Replicas that an override asks for and that are not there; what others have made of them since stands. */
  #adjustTo(es: StoredElastiService, target: TargetState, { intent }: Ruling): number | undefined {
    const memory = this.#options.memories.of(keyOf(es.metadata.namespace ?? "", es.metadata.name));
    if (intent === undefined || es.status?.phase !== "Serving") {
      memory.overrideDone = undefined;
      return undefined;
    }
    // decided on what was there before, it would take what a person did just now for a change that came after
    if (target.kind !== "found" || memory.overrideRead !== this.#options.overrideOf(es).record) return undefined;
    if (es.metadata.deletionTimestamp !== undefined || target.replicas === 0) return undefined;
    const { autoscaled } = this.#options.autoscalers.wanted(es);
    const result = arbitrate([intent], {
      replicas: target.replicas,
      autoscaled,
      named: true,
      last: memory.overrideDone,
    });
    if (result.replicas === undefined) memory.overrideDone = result.intent;
    return result.replicas;
  }

  gather(
    es: StoredElastiService,
    about: {
      service: Service | undefined;
      refused: string | undefined;
      routes: readonly Route[];
      desiredSlices: readonly EndpointSlice[];
      slicesMatch: (ours: readonly EndpointSlice[]) => boolean;
      namespaceGoing: boolean;
    },
  ): Gathered {
    const { view, targets, hub, verdicts, memories, clock } = this.#options;
    const namespace = es.metadata.namespace ?? "";
    const key = keyOf(namespace, es.metadata.name);
    const memory = memories.of(key);
    const publicSlices = view.slicesOf(namespace, es.spec.service);
    const target = targets.of(es);
    const { held } = hub.traffic(namespace, es.spec.service);
    const peers = this.peersOf(es);
    // those of them that resolvers lead: asleep, nobody would answer on the others
    const partly = about.desiredSlices.some(({ ports = [] }) => ports.length < about.routes.length);
    const own = partly ? partlyLed : this.maySleepAlone(es);
    const answer = own.may ? (peers.map((peer) => this.maySleepAlone(peer)).find(({ may }) => !may) ?? own) : own;
    const ruling = this.rulingOf(es);
    const triggered = !ruling.quiet && es.status?.phase === "Asleep" && verdicts.latest(key)?.kind === "Active";
    const period = enabledPeriodAt(es.spec.enabledPeriod, clock.now());
    const scheduled = !ruling.quiet && !period.inside && period.problem === undefined;
    // pinned asleep, those who wait are answered
    const waitedFor = held > 0 && ruling.sleep !== "pinned";
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
      wantsAwake: waitedFor || triggered || scheduled || ruling.wake !== undefined,
      adjustTo: this.#adjustTo(es, target, ruling),
      peersSealed: peers.every(({ status }) => status?.phase === "Sealed"),
      fence: memory.fence?.epoch === (es.status?.epoch ?? 0) ? memory.fence.outcome : "none",
      run: runOf(es, memory, ruling.sleep),
      autoscalerDue: this.#options.autoscalers.due(es),
    };
    const { record } = this.#options.overrideOf(es);
    return {
      facts,
      target,
      ruling,
      record,
      unread: ruling.intent !== undefined && es.status?.phase === "Serving" && memory.overrideRead !== record,
      answer,
      wakeReason: asked
        ? "request"
        : triggered
          ? "trigger"
          : scheduled
            ? "schedule"
            : // asleep it is they who wake it; awake they only keep it so
              ((es.status?.phase === "Asleep" ? ruling.wake : undefined) ?? "manual"),
    };
  }
}

const partlyLed: SleepAnswer = {
  may: false,
  reason: "NoResolver",
  message: "no resolver serves every port of the Service",
  unknown: true,
};

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
