import {
  type ElastiService,
  PARK_KEY,
  type Phase,
  privateServiceName,
  SERVICE_NAME_LABEL,
  SLICE_MANAGED_BY_LABEL,
  SLICE_MANAGER,
} from "@elasti/api";
import type { Deployment, Endpoint, EndpointSlice, Service } from "@elasti/kube";
import { wallMs } from "./connection.ts";

/** Where the nodes lead new connections of Services, as far as is known at this moment. */
export interface NodeTables {
  /** In the order of their numbers, which begin with 1. */
  readonly nodeNames: readonly string[];
  /** @param key `namespace/name` of the Service */
  backends(node: number, key: string): readonly { readonly ip: string; readonly port: number }[];
}

/** The steps at which requests are aimed, in the order of a cycle. */
export const steps = ["drain", "prove", "grace", "seal", "zero", "unpark", "wake"] as const;
export type Step = (typeof steps)[number];

const KEPT_EVENTS = 120;

/**
 * Where one service stands, by what the API server and the log of the operator say:
 *
 *   drain -> prove -> grace -> seal -> zero -> unpark -> wake -> (nothing: awake, and every node routes to pods)
 *
 * `undo` is the way back of a sleep that did not come about.
 */
export class Stage {
  readonly name: string;
  phase: Phase | undefined;
  epoch = 0;
  podsGone = false;
  parked = false;
  /** Our slice leads the Service to resolvers. */
  sliceStands = false;
  replicas = 0;
  /** The pods that the private Service lists, ready or not. */
  pods: readonly { address: string; ready: boolean }[] = [];
  /** Sleeps whose zero was accepted. */
  completed = 0;
  /** Epochs that ended a sleep before its zero was accepted. */
  readonly undone: number[] = [];
  /** What happened last, for the evidence of a failure. */
  readonly events: string[] = [];
  #run: "drain" | "prove" | "grace" = "drain";
  #zeroSent = false;
  #zeroed = false;
  #sleeping = false;
  #cameFromZero = true;
  /** Why a phase was written, in the operator's words, by its epoch. */
  readonly #reasons = new Map<number, string>();
  readonly #tables: NodeTables;
  readonly #watchers = new Set<() => void>();

  constructor(name: string, tables: NodeTables) {
    this.name = name;
    this.#tables = tables;
  }

  /** The step that a request sent now meets; undefined while the service is plainly awake. */
  get step(): Step | "undo" | undefined {
    switch (this.phase) {
      case "Draining":
        return this.#run;
      case "Sealed":
        return this.#zeroSent ? "zero" : "seal";
      case "Asleep":
        return this.podsGone && !this.parked ? "wake" : "unpark";
      case "Waking":
        return "wake";
      default:
        if (this.settled) return undefined;
        return this.#cameFromZero ? "wake" : "undo";
    }
  }

  /** Awake, and all nodes lead straight to the pods. */
  get settled(): boolean {
    if (this.phase !== "Serving" || this.parked || this.sliceStands) return false;
    const ready = this.pods.filter((pod) => pod.ready).map(({ address }) => address);
    return this.#tables.nodeNames.every((_, index) => {
      const backends = this.#tables.backends(index + 1, this.key);
      return backends.length > 0 && backends.every(({ ip }) => ready.includes(ip));
    });
  }

  get key(): string {
    return `default/${this.name}`;
  }

  /** What the operator's log says of its steps. */
  onStep(step: unknown): void {
    if (step === "start-proof") this.#move("prove");
    else if (step === "start-grace") this.#move("grace");
  }

  /** What the operator's log says of its phases; it comes when the answer to the write does, which is later than the phase. */
  onReason(epoch: unknown, reason: unknown): void {
    this.#reasons.set(Number(epoch), String(reason));
  }

  /** Why sleeps were undone. */
  get undoneReasons(): string[] {
    return this.undone.map((epoch) => this.#reasons.get(epoch) ?? "not told");
  }

  /** The operator sends the scale to zero. */
  onZero(): void {
    this.#zeroSent = true;
    this.#changed();
  }

  note(text: string): void {
    this.events.push(`${(wallMs() / 1_000).toFixed(3)} ${text}`);
    if (this.events.length > KEPT_EVENTS) this.events.shift();
  }

  /** Resolves when `look` holds, now or after any change; with false when `ms` have passed without. */
  async until(look: () => boolean, ms: number): Promise<boolean> {
    if (look()) return true;
    return await new Promise((resolve) => {
      const end = (found: boolean) => {
        clearTimeout(timer);
        this.#watchers.delete(check);
        resolve(found);
      };
      const check = () => {
        if (look()) end(true);
      };
      const timer = setTimeout(() => end(look()), ms);
      this.#watchers.add(check);
    });
  }

  onElastiService({ status = {} }: ElastiService): void {
    const { phase, epoch = 0, podsGone = false } = status;
    if (epoch !== this.epoch) {
      this.phase = phase;
      this.note(`phase ${phase} epoch ${epoch}`);
      if (phase === "Draining") this.#begin();
      else if (this.#sleeping && (phase === "Serving" || phase === "Waking" || phase === "Asleep")) this.#finish(epoch);
    }
    this.phase = phase;
    this.epoch = epoch;
    this.podsGone = podsGone;
    this.#changed();
  }

  onService({ spec }: Service): void {
    const parked = spec.selector?.[PARK_KEY] !== undefined;
    if (parked === this.parked) return;
    this.parked = parked;
    this.note(parked ? "parked" : "unparked");
    this.#changed();
  }

  onSlice(slice: EndpointSlice, gone: boolean): void {
    const { labels = {} } = slice.metadata;
    const endpoints = gone ? [] : (slice.endpoints ?? []);
    if (labels[SERVICE_NAME_LABEL] === privateServiceName(this.name)) {
      this.pods = endpoints.map((endpoint) => ({ address: endpoint.addresses[0] ?? "", ready: isReady(endpoint) }));
    } else if (labels[SLICE_MANAGED_BY_LABEL] === SLICE_MANAGER) this.sliceStands = endpoints.length > 0;
    const told = endpoints.map((endpoint) => `${endpoint.addresses[0]}${isReady(endpoint) ? "" : " (not ready)"}`);
    this.note(`slice ${slice.metadata.name}: ${told.join(", ") || "empty"}`);
    this.#changed();
  }

  onDeployment({ spec }: Deployment): void {
    const replicas = spec.replicas ?? 0;
    if (replicas === this.replicas) return;
    this.note(`replicas ${this.replicas} -> ${replicas}`);
    if (replicas === 0 && this.#sleeping) this.#countZero();
    this.replicas = replicas;
    this.#changed();
  }

  #begin(): void {
    this.#sleeping = true;
    this.#zeroed = false;
    this.#zeroSent = false;
    this.#run = "drain";
  }

  #finish(epoch: number): void {
    this.#sleeping = false;
    // the watch of Deployments may be behind the one of ElastiServices
    if (this.phase === "Asleep") this.#countZero();
    this.#cameFromZero = this.#zeroed;
    if (!this.#zeroed) this.undone.push(epoch);
  }

  #countZero(): void {
    if (this.#zeroed) return;
    this.#zeroed = true;
    this.completed += 1;
  }

  #move(run: "prove" | "grace"): void {
    this.#run = run;
    this.note(`step ${run}`);
    this.#changed();
  }

  #changed(): void {
    for (const check of [...this.#watchers]) check();
  }
}

const isReady = ({ conditions }: Endpoint): boolean => conditions?.ready !== false && conditions?.terminating !== true;
