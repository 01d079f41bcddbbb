import {
  type Condition,
  type ElastiService,
  PARK_KEY,
  type Phase,
  privateServiceName,
  SERVICE_NAME_LABEL,
  SLICE_MANAGED_BY_LABEL,
  SLICE_MANAGER,
} from "@elasti/api";
import type { Clock, Logger } from "@elasti/core";
import {
  type Deployment,
  type EndpointSlice,
  type KubeClient,
  type KubeObject,
  type Pod,
  Reflector,
  type Resource,
  resources,
  type Service,
  type StoreEvent,
} from "@elasti/kube";
import type { PodLogLine } from "@elasti/local";
import type { Moment, Stage } from "./timeline.ts";

export interface ObserverOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly namespace: string;
  /** Name of the Service, the Deployment and the ElastiService. */
  readonly name: string;
  readonly onMoment: (moment: Moment) => void;
}

/** Watches everything of one service and says what happens to it. */
export class Observer {
  readonly #options: ObserverOptions;
  readonly #reflectors: readonly { start(): Promise<void>; close(): Promise<void> }[];
  readonly #pods: Reflector<Pod>;
  readonly #services: Reflector<Service>;
  readonly #slices: Reflector<EndpointSlice>;
  readonly #elastiServices: Reflector<ElastiService & KubeObject>;
  /** Pod name -> when its address was first published, ms since the epoch. */
  readonly #publishedAt = new Map<string, number>();
  readonly #stops: (() => void)[] = [];
  #loggedPhase: Phase | undefined;

  constructor(options: ObserverOptions) {
    this.#options = options;
    const { client, clock, logger, namespace, name } = options;
    const reflect = <T extends KubeObject>(resource: Resource, selector: { field?: string; label?: string } = {}) =>
      new Reflector<T>({
        client,
        resource,
        namespace,
        logger,
        clock,
        fieldSelector: selector.field,
        labelSelector: selector.label,
      });
    const field = `metadata.name=${name}`;
    this.#pods = reflect<Pod>(resources.pods, { label: `app=${name}` });
    this.#services = reflect<Service>(resources.services, { field });
    this.#slices = reflect<EndpointSlice>(resources.endpointSlices);
    this.#elastiServices = reflect<ElastiService & KubeObject>(resources.elastiServices, { field });
    const deployments = reflect<Deployment>(resources.deployments, { field });
    this.#reflectors = [this.#pods, this.#services, this.#slices, this.#elastiServices, deployments];
    this.#stops.push(
      this.#pods.store.on("change", (event) => this.#onPod(event)),
      this.#services.store.on("change", (event) => this.#onService(event)),
      this.#slices.store.on("change", (event) => this.#onSlice(event)),
      this.#elastiServices.store.on("change", (event) => this.#onElastiService(event)),
      deployments.store.on("change", (event) => this.#onDeployment(event)),
    );
  }

  async start(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.start()));
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    await Promise.all(this.#reflectors.map((reflector) => reflector.close()));
  }

  /** When the pod's address was first published, ms since the epoch. */
  publishedAt(pod: string): number | undefined {
    return this.#publishedAt.get(pod);
  }

  /** Name and address of the pods that have one. */
  get pods(): { name: string; address: string }[] {
    return this.#pods.store.list().flatMap(({ metadata, status }) => {
      return status?.podIP === undefined ? [] : [{ name: metadata.name, address: status.podIP }];
    });
  }

  get phase(): Phase | undefined {
    return this.#elastiServices.store.list()[0]?.status?.phase;
  }

  /** Resolves with the ElastiService once it and its Service are as wanted; rejects with the signal's reason. */
  until(wanted: (es: ElastiService, service: Service) => boolean, signal: AbortSignal): Promise<ElastiService> {
    const { promise, resolve, reject } = Promise.withResolvers<ElastiService>();
    const check = () => {
      const [es] = this.#elastiServices.store.list();
      const [service] = this.#services.store.list();
      if (es !== undefined && service !== undefined && wanted(es, service)) resolve(es);
    };
    const onAbort = () => reject(signal.reason);
    const stops = [
      this.#elastiServices.store.on("change", check),
      this.#services.store.on("change", check),
      () => signal.removeEventListener("abort", onAbort),
    ];
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    check();
    return promise.finally(() => {
      for (const stop of stops) stop();
    });
  }

  /** What a process of Elasti wrote. */
  takeLog({ line, pod }: PodLogLine): void {
    if (!pod.startsWith("elasti-operator")) return;
    const entry = parsed(line);
    if (entry === undefined) return;
    const at = Date.parse(entry.time ?? "") || this.#options.clock.now();
    if (entry.msg === "phase" && entry.phase !== undefined) {
      const before = this.#loggedPhase;
      this.#loggedPhase = entry.phase;
      const left = before === "Draining" || before === "Sealed";
      if (left && entry.phase !== "Sealed" && entry.phase !== "Asleep")
        this.#say("undone", `sleep undone: ${entry.reason}`, at);
    }
    if (entry.reason === "notified" && entry.phase === "Asleep")
      this.#say("notified", "the operator learns that requests wait", at);
    // the step after the proof
    if (entry.reason === "start-grace" && entry.phase === "Draining")
      this.#say("proven", "new connections reach the resolvers; now those that lag have time", at);
  }

  #say(stage: Stage, detail: string, at = this.#options.clock.now()): void {
    this.#options.onMoment({ stage, at, detail });
  }

  #onDeployment(event: StoreEvent<Deployment>): void {
    if (event.type !== "modified") return;
    const [from, to] = [event.old.spec.replicas ?? 1, event.object.spec.replicas ?? 1];
    if (from === 0 && to > 0) this.#say("scaled", `replicas 0 -> ${to}`);
    if (from > 0 && to === 0) this.#say("zero", `replicas ${from} -> 0`);
  }

  #onPod(event: StoreEvent<Pod>): void {
    const { object } = event;
    const { name } = object.metadata;
    const old = event.type === "modified" ? event.old : undefined;
    if (event.type === "deleted") {
      this.#publishedAt.delete(name);
      return;
    }
    if (isRunning(object) && !(old !== undefined && isRunning(old)))
      this.#say("started", `${name} runs on ${object.spec.nodeName}`);
    if (isReady(object) && !(old !== undefined && isReady(old))) this.#say("ready", `Kubernetes calls ${name} ready`);
  }

  #onService(event: StoreEvent<Service>): void {
    if (event.type !== "modified") return;
    const parked = (service: Service) => service.spec.selector?.[PARK_KEY] !== undefined;
    if (!parked(event.old) || parked(event.object)) return;
    if (this.phase === "Asleep")
      this.#say("unparked", "the Service is as its owner wrote it; the resolvers stay beside it");
  }

  #onSlice(event: StoreEvent<EndpointSlice>): void {
    const { namespace, name } = this.#options;
    const { labels = {} } = event.object.metadata;
    const service = labels[SERVICE_NAME_LABEL];
    if (event.object.metadata.namespace !== namespace) return;
    if (service === privateServiceName(name)) {
      if (event.type === "deleted") return;
      for (const { targetRef } of event.object.endpoints ?? []) {
        if (targetRef !== undefined && !this.#publishedAt.has(targetRef.name))
          this.#publishedAt.set(targetRef.name, this.#options.clock.now());
      }
    } else if (service === name) {
      const ours = labels[SLICE_MANAGED_BY_LABEL] === SLICE_MANAGER;
      if (ours && event.type === "deleted") this.#say("swapped", "new connections go to the pods directly");
      else if (!ours) this.#lookDrained();
    }
  }

  #onElastiService(event: StoreEvent<ElastiService & KubeObject>): void {
    const { object } = event;
    const before = event.type === "modified" ? event.old.status : undefined;
    const { phase, podsGone } = object.status ?? {};
    if (phase === "Asleep" && podsGone === true && before?.podsGone !== true)
      this.#say("gone", "the last pod has left: whatever comes up from here on is new");
    if (phase === "Serving") this.#onVerdict(object.status?.conditions?.find(({ type }) => type === "Idle"));
    if (phase === undefined || phase === before?.phase) return;
    if (phase === "Draining") {
      this.#say("idle", "nobody needs it: new connections go to the resolvers, which pass them on");
      this.#lookDrained();
    } else if (phase === "Sealed") this.#say("sealed", "idle still; from here on every resolver holds");
  }

  /** What the triggers say of an awake service. */
  #onVerdict(idle: Condition | undefined): void {
    if (idle === undefined) return;
    if (idle.status === "Unknown") this.#say("unsure", `no sleep while it is not known to be idle: ${idle.message}`);
    else if (activeReasons.has(idle.reason) && idle.status === "False")
      this.#say("active", `the trigger calls it active: ${idle.message}`);
  }

  #lookDrained(): void {
    if (this.phase !== "Draining") return;
    const { name } = this.#options;
    const others = this.#slices.store.list().filter(({ metadata: { labels = {} } }) => {
      return labels[SERVICE_NAME_LABEL] === name && labels[SLICE_MANAGED_BY_LABEL] !== SLICE_MANAGER;
    });
    if (others.every(({ endpoints }) => (endpoints ?? []).length === 0))
      this.#say("drained", "Kubernetes publishes no pod for the Service any more");
  }
}

/** Reasons of verdicts that tell of requests. */
const activeReasons: ReadonlySet<string> = new Set(["AtOrAboveThreshold", "RecentRequest", "InFlight"]);

/** The triggers say that somebody uses it. */
export const isCalledActive = ({ status }: ElastiService): boolean =>
  status?.conditions?.some(
    ({ type, status: is, reason }) => type === "Idle" && is === "False" && activeReasons.has(reason),
  ) === true;

const isRunning = ({ status }: Pod): boolean =>
  status?.containerStatuses?.some(({ state }) => state?.running !== undefined) === true;

const isReady = ({ status, metadata }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;

interface LogEntry {
  readonly time?: string;
  readonly msg?: string;
  readonly phase?: Phase;
  readonly reason?: string;
}

function parsed(line: string): LogEntry | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as LogEntry;
  } catch {
    return undefined;
  }
}
