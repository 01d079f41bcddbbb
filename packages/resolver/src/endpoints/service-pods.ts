import type { Phase, ProbeStatus } from "@elasti/api";
import type { Clock, Timer } from "@elasti/core";
import type { EndpointSlice } from "@elasti/kube";
import type { PodSource, PodTarget } from "../contracts.ts";
import { type PodView, viewsOf } from "./pod-view.ts";
import type { ProbeBudget } from "./probe-budget.ts";
import { type ProbeCandidate, Prober } from "./prober.ts";
import { initialRules, isCandidate, nextLapse, type PodRules, usablePods, withPhase, withPods } from "./usable-pods.ts";

export interface ServicePodsOptions {
  /** `namespace/name` of the public Service. */
  readonly key: string;
  readonly clock: Clock;
  readonly budget: ProbeBudget;
  readonly onClose?: () => void;
}

/**
 * The pods of one service: what its slices show, judged by the rules of its phase and by what probing found out.
 *
 *   slices ──▶ views ─┐
 *   phase ───▶ rules ─┼─▶ usable ──▶ snapshot per port ──▶ listeners
 *   prober ─▶ results ┘
 */
export class ServicePods implements PodSource {
  readonly #clock: Clock;
  readonly #prober: Prober;
  readonly #onClose: (() => void) | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #passed = new Set<string>();
  readonly #failed = new Set<string>();
  readonly #seen = new Map<string, number>();
  #views: readonly PodView[] = [];
  #rules: PodRules = initialRules;
  #probe: ProbeStatus | undefined;
  #demand = false;
  #usable: readonly PodView[] = [];
  /** By port name; made when asked for, dropped when the usable set changes. */
  readonly #snapshots = new Map<string, readonly PodTarget[]>();
  /** By uid, address and port: the same object while the pod stays. */
  #targets = new Map<string, PodTarget>();
  #lapse: Timer | undefined;
  #closed = false;

  constructor(options: ServicePodsOptions) {
    this.#clock = options.clock;
    this.#onClose = options.onClose;
    this.#prober = new Prober({
      service: options.key,
      clock: options.clock,
      budget: options.budget,
      onPass: (uid) => {
        this.#passed.add(uid);
        this.#failed.delete(uid);
        this.#update();
      },
    });
  }

  /** Pods that are being probed at this moment. */
  get probing(): number {
    return this.#prober.size;
  }

  /** Takes all slices of the private Service as they are now. */
  setSlices(slices: readonly EndpointSlice[]): void {
    if (this.#closed) return;
    const before = new Map(this.#views.map((view) => [view.uid, view]));
    this.#views = viewsOf(slices);
    const now = this.#clock.monotonic();
    const present = new Set<string>();
    for (const view of this.#views) {
      present.add(view.uid);
      if (!this.#seen.has(view.uid)) this.#seen.set(view.uid, now);
      const old = before.get(view.uid);
      if (old === undefined) continue;
      // what was found out holds for as long as the pod is as it was
      if ((old.ready && !view.ready) || old.address !== view.address) this.#passed.delete(view.uid);
      if ((!old.ready && view.ready) || old.address !== view.address) this.#failed.delete(view.uid);
    }
    for (const known of [this.#passed, this.#failed, this.#seen.keys()])
      for (const uid of known) if (!present.has(uid)) this.#forget(uid);
    this.#rules = withPods(this.#rules, this.#views, now);
    this.#update();
  }

  /** Takes what status says; older epochs change nothing. */
  setPhase(phase: Phase, epoch: number, podsGone: boolean): void {
    if (this.#closed) return;
    this.#rules = withPhase(this.#rules, this.#views, { phase, epoch, podsGone }, this.#clock.monotonic());
    this.#update();
  }

  /** The ElastiService was made anew: its epochs begin again. */
  forgetPhase(): void {
    this.#rules = initialRules;
  }

  setProbe(probe: ProbeStatus | undefined): void {
    if (this.#closed) return;
    this.#probe = probe;
    this.#update();
  }

  usable(portName: string | undefined): readonly PodTarget[] {
    const name = portName ?? "";
    let snapshot = this.#snapshots.get(name);
    if (snapshot === undefined) {
      const targets: PodTarget[] = [];
      for (const view of this.#usable) {
        const port = view.ports.get(name);
        if (port !== undefined) targets.push(this.#target(view, port));
      }
      snapshot = Object.freeze(targets);
      // names come from routes; whatever else is asked for is not remembered
      if (snapshot.length > 0) this.#snapshots.set(name, snapshot);
    }
    return snapshot;
  }

  onChange(listener: () => void): () => void {
    const own = () => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  setDemand(waiting: boolean): void {
    if (this.#closed || waiting === this.#demand) return;
    this.#demand = waiting;
    // whoever asks is in the middle of its own work
    if (this.#refresh()) queueMicrotask(() => this.#tell());
  }

  reportFailure(pod: PodTarget): void {
    if (this.#closed || this.#failed.has(pod.uid)) return;
    const view = this.#views.find(({ uid }) => uid === pod.uid);
    if (view === undefined || view.address !== pod.address) return;
    this.#failed.add(pod.uid);
    this.#passed.delete(pod.uid);
    this.#update();
  }

  seenAt(pod: PodTarget): number | undefined {
    return this.#seen.get(pod.uid);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#prober.close();
    this.#lapse?.cancel();
    this.#listeners.clear();
    this.#usable = [];
    this.#snapshots.clear();
    this.#onClose?.();
  }

  #forget(uid: string): void {
    this.#passed.delete(uid);
    this.#failed.delete(uid);
    this.#seen.delete(uid);
  }

  #target(view: PodView, port: number): PodTarget {
    const key = `${view.uid} ${view.address} ${port}`;
    let target = this.#targets.get(key);
    if (target === undefined) {
      target = Object.freeze({ uid: view.uid, name: view.name, address: view.address, port });
      this.#targets.set(key, target);
    }
    return target;
  }

  #update(): void {
    if (this.#refresh()) this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Works everything out anew; whether the usable set has changed. */
  #refresh(): boolean {
    if (this.#closed) return false;
    const now = this.#clock.monotonic();
    const wait = this.#probe?.wait ?? "Ready";
    const results = { wait, passed: this.#passed, failed: this.#failed, demand: this.#demand };
    const usable = usablePods(this.#rules, this.#views, results, now);
    const changed = !sameViews(usable, this.#usable);
    if (changed) {
      this.#usable = usable;
      this.#snapshots.clear();
      this.#dropTargets();
    }
    const inUse = new Set(usable);
    this.#prober.probe(
      this.#views.flatMap((view) => (inUse.has(view) ? [] : (this.#candidate(view, wait, now) ?? []))),
      this.#probe,
    );
    this.#lapse?.cancel();
    this.#lapse = undefined;
    const next = nextLapse(this.#rules, now);
    if (next !== undefined) this.#lapse = this.#clock.after(next - now, () => this.#update());
    return changed;
  }

  #candidate(view: PodView, wait: ProbeStatus["wait"], now: number): ProbeCandidate | undefined {
    if (!isCandidate(this.#rules, view, now)) return undefined;
    const port = view.ports.values().next().value;
    if (port === undefined) return undefined;
    const { uid, address } = view;
    // a Ready pod that refused a connection comes back when it accepts one, whether somebody waits or not
    if (view.ready && this.#failed.has(uid)) return { uid, address, port, connectOnly: true };
    if (!this.#demand || wait === "Ready") return undefined;
    return { uid, address, port, connectOnly: wait === "Connect" && this.#probe?.startup === undefined };
  }

  #dropTargets(): void {
    const present = new Map(this.#views.map(({ uid, address }) => [uid, address]));
    for (const [key, { uid, address }] of this.#targets) if (present.get(uid) !== address) this.#targets.delete(key);
  }
}

function sameViews(a: readonly PodView[], b: readonly PodView[]): boolean {
  return (
    a.length === b.length &&
    a.every((view, i) => {
      const other = b[i]!;
      if (view === other) return true;
      if (view.uid !== other.uid || view.address !== other.address || view.ports.size !== other.ports.size)
        return false;
      for (const [name, port] of view.ports) if (other.ports.get(name) !== port) return false;
      return true;
    })
  );
}
