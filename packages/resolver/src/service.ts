import { type ElastiService, type RoutingMode, specDefaults, type Waking, wantedRoutingMode } from "@elasti/api";
import type { Clock, ElastiError, Logger } from "@elasti/core";
import type { Activation, Pick, PodSource, WakeFailure } from "./contracts.ts";
import { errors } from "./errors.ts";
import { Gate, type GateSettings, type HoldEnd } from "./gate/gate.ts";
import type { Hold, HoldBudget, Ticket } from "./gate/hold.ts";
import { LearningWindow } from "./gate/release-window.ts";
import { type NamedPort, PortNames } from "./port-names.ts";
import { type ServiceEvents, ServiceState } from "./service-state.ts";
import { checkerAnswer, type RequestHead, type StaticAnswer, StaticRules } from "./static-answers.ts";
import { isOver, isPinned, lastKnown, wakeError } from "./wake-failures.ts";

export interface ServiceDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly pick: Pick;
  readonly budget: HoldBudget;
  readonly activation: Activation;
  readonly createPods: (namespace: string, service: string) => PodSource;
  readonly onHoldEnd: (end: HoldEnd, waitedMs: number) => void;
  readonly defer?: (fn: () => void) => void;
}

/** One Service that an ElastiService names: its state, its pods and its gate, for as long as the ElastiService is there. */
export class ManagedService {
  readonly namespace: string;
  readonly name: string;
  readonly state: ServiceState;
  readonly pods: PodSource;
  readonly gate: Gate;
  readonly #portNames: PortNames;
  readonly #deps: ServiceDependencies;
  readonly #logger: Logger;
  #uid: string | undefined;
  #generation: number | undefined;
  #settings: GateSettings = {
    maxRequests: specDefaults.maxRequests,
    timeoutMs: specDefaults.holdTimeoutSeconds * 1_000,
  };
  #maxConcurrencyPerPod = Number.POSITIVE_INFINITY;
  #rules = new StaticRules(undefined);
  #routingMode: RoutingMode = "SelectorSwap";
  /** What keeps the target's pods from being ready, as the operator found. */
  #waking: Waking | undefined;
  /** Its ElastiService is being deleted: connections that are kept would soon lead nowhere. */
  #leaving = false;

  constructor(namespace: string, name: string, deps: ServiceDependencies, events: ServiceEvents) {
    this.namespace = namespace;
    this.name = name;
    this.#deps = deps;
    this.#logger = deps.logger;
    this.state = new ServiceState(deps.clock, events);
    this.pods = deps.createPods(namespace, name);
    this.#portNames = new PortNames(this.pods);
    this.gate = new Gate({
      state: this.state,
      pods: this.#portNames,
      pick: deps.pick,
      clock: deps.clock,
      budget: deps.budget,
      settings: () => this.#settings,
      newWindow: () => new LearningWindow(() => this.#maxConcurrencyPerPod),
      onWanting: (wanting) => this.#onWanting(wanting),
      lastFailure: () => deps.activation.lastFailure(namespace, name) ?? this.#lastKnown(),
      hopeless: () => this.#hopeless(),
      onHoldEnd: deps.onHoldEnd,
      ...(deps.defer === undefined ? {} : { defer: deps.defer }),
    });
  }

  /** Takes the ElastiService as it is now. */
  apply(object: ElastiService): void {
    const { metadata, spec, status } = object;
    if (this.#uid !== metadata.uid) {
      if (this.#uid !== undefined) this.state.forget();
      this.#uid = metadata.uid;
      this.#generation = undefined;
    }
    this.#routingMode = status?.routingMode ?? wantedRoutingMode(spec);
    this.#leaving = metadata.deletionTimestamp !== undefined;
    const edited = metadata.generation === undefined || metadata.generation !== this.#generation;
    if (edited) {
      this.#generation = metadata.generation;
      this.#applySpec(spec);
    }
    const before = this.state.phase;
    const moved = this.state.observe(status?.phase ?? "Serving", status?.epoch ?? 0, status?.podsGone ?? false);
    if (moved && this.state.phase !== before) {
      const { namespace, name } = this;
      this.#logger.debug({ namespace, service: name, phase: this.state.phase, epoch: this.state.epoch }, "phase seen");
    }
    this.#waking = status?.waking;
    if (edited) this.gate.retime();
    else if (moved) this.gate.evaluate();
    this.#failHopeless();
  }

  /** Takes the ports that lead to it as they are called now. */
  setPorts(ports: readonly NamedPort[]): void {
    if (this.#portNames.set(ports)) this.gate.evaluate();
  }

  /** Clients that come by the Service find the pods themselves now, or soon will. */
  get servesDirectly(): boolean {
    return this.#leaving || (this.state.phase === "Serving" && this.#routingMode !== "Always");
  }

  /** What `spec.probeResponse` says to a request. */
  staticAnswer(head: RequestHead): StaticAnswer | undefined {
    return this.#rules.match(head);
  }

  /** Whether a request is answered here even if no pod can take it now: such ones never wake, wait or count. */
  answersAtOnce(head: RequestHead): boolean {
    return this.staticAnswer(head) !== undefined || checkerAnswer(head) !== undefined;
  }

  /**
   * Why every request is refused: by order of an override, the service is to fall asleep or stay so. Such requests do not count
   * as traffic. While it serves, the order has not been begun yet.
   */
  get refusal(): ElastiError | undefined {
    const waking = this.#waking;
    if (waking === undefined || !isPinned(waking) || this.state.phase === "Serving") return undefined;
    return this.#hopeless();
  }

  /** Counts a request that has to wait, and lets it wait. */
  hold(hold: Hold, portName: string | undefined): Ticket | ElastiError {
    const { refusal } = this;
    if (refusal !== undefined) return refusal;
    this.state.countRequest();
    return this.gate.hold(hold, portName, true);
  }

  /** The operator has said that waking fails. */
  wakeFailed(failure: WakeFailure): void {
    if (!failure.certain || this.gate.held === 0) return;
    const { namespace, name } = this;
    this.#logger.warn({ namespace, service: name, reason: failure.reason }, "wake failed, holds are answered");
    this.gate.failAll(errors.ELASTI_WAKE_FAILED(`${failure.reason}: ${failure.detail}`));
  }

  #hopeless(): ElastiError | undefined {
    const waking = this.#waking;
    if (waking?.certain !== true || isOver(waking, this.#deps.clock.now())) return undefined;
    // deleted, it is given back awake, whatever an override says
    return this.#leaving && isPinned(waking) ? undefined : wakeError(waking);
  }

  /** What waits is answered when it becomes certain that no pod can come; until that is withdrawn nothing is held. */
  #failHopeless(): void {
    if (this.gate.held === 0) return;
    const error = this.#hopeless();
    if (error === undefined) return;
    const { namespace, name } = this;
    this.#logger.warn({ namespace, service: name, reason: error.code }, "wake failed, holds are answered");
    this.gate.failHopeless(error);
  }

  #lastKnown(): WakeFailure | undefined {
    return this.#waking === undefined ? undefined : lastKnown(this.#waking, this.#deps.clock.now());
  }

  close(): void {
    this.gate.close(errors.ELASTI_SERVICE_REMOVED("the ElastiService of this Service has been deleted"));
    this.pods.close();
  }

  #applySpec(spec: ElastiService["spec"]): void {
    const { queue, probeResponse } = spec;
    this.#settings = {
      maxRequests: queue?.maxRequests ?? specDefaults.maxRequests,
      timeoutMs: (queue?.timeoutSeconds ?? specDefaults.holdTimeoutSeconds) * 1_000,
    };
    this.#maxConcurrencyPerPod = queue?.maxConcurrencyPerPod ?? Number.POSITIVE_INFINITY;
    this.#rules = new StaticRules(probeResponse);
    for (const problem of this.#rules.problems) {
      const { namespace, name } = this;
      this.#logger.warn({ namespace, service: name, reason: "bad-probe-response", problem }, "a rule is left out");
    }
  }

  #onWanting(wanting: boolean): void {
    const { namespace, name } = this;
    this.pods.setDemand(wanting);
    const { activation } = this.#deps;
    const held = () => this.gate.held;
    if (wanting) activation.request(namespace, name, held, () => Math.max(0, this.state.epoch));
    else activation.stop(namespace, name);
  }
}
