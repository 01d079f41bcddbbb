import { fenceManager, kubeErrors } from "@elasti/kube";
import { type ScaleClient, type ScaleState, type TargetRef, type Targets, targetKey } from "../src/index.ts";

export function deployment(name: string, namespace = "default"): TargetRef {
  return {
    namespace,
    name,
    resource: { group: "apps", version: "v1", plural: "deployments", kind: "Deployment", namespaced: true },
  };
}

/**
 * Scales with the resourceVersion semantics of the API server, as test/contract asks the real one: a write that changes
 * nothing moves nothing, except an apply by a field manager that does not own the replicas yet.
 */
export class ScaleStore implements ScaleClient, Targets {
  /** Accepted writes, in order. */
  readonly writes: { key: string; kind: "set" | "fence"; replicas: number }[] = [];
  /** Every call, in the order in which it began. */
  readonly calls: string[] = [];
  /** Runs before a call is answered; throws to fail it, awaits to delay it. */
  before: (call: string, key: string) => Promise<void> | void = () => {};
  /** Runs after a write is stored and before its answer. */
  after: (call: string, key: string) => Promise<void> | void = () => {};
  readonly #states = new Map<string, { replicas: number; version: number; managers: Set<string> | "none" }>();
  readonly #cached = new Map<string, ScaleState>();
  #version = 100;
  running = 0;
  mostRunning = 0;

  /**
   * Someone else writes.
   * @param managers who owns the replicas by apply, or "none" for a custom resource whose replicas nobody owns
   */
  put(ref: TargetRef, replicas: number, managers: Set<string> | "none" = new Set()): ScaleState {
    this.#states.set(targetKey(ref), { replicas, version: ++this.#version, managers });
    return this.state(ref);
  }

  /** Owners of the replicas by apply. */
  managers(ref: TargetRef): number {
    const { managers } = this.#states.get(targetKey(ref))!;
    return managers === "none" ? 0 : managers.size;
  }

  state(ref: TargetRef): ScaleState {
    const found = this.#states.get(targetKey(ref));
    if (found === undefined) throw kubeErrors.ELASTI_KUBE_NOT_FOUND(`deployments.apps "${ref.name}" not found`);
    return { replicas: found.replicas, resourceVersion: String(found.version) };
  }

  /** The informer sees what is there now. */
  cache(ref: TargetRef): void {
    this.#cached.set(targetKey(ref), this.state(ref));
  }

  cached(ref: TargetRef): ScaleState | undefined {
    return this.#cached.get(targetKey(ref));
  }

  getScale(ref: TargetRef): Promise<ScaleState> {
    return this.#call("get", ref, () => this.state(ref));
  }

  setScale({ replicas, resourceVersion, ...ref }: Parameters<ScaleClient["setScale"]>[0]): Promise<ScaleState> {
    return this.#call(`set ${replicas}`, ref, () => {
      this.#check(ref, resourceVersion);
      this.writes.push({ key: targetKey(ref), kind: "set", replicas });
      const { managers } = this.#states.get(targetKey(ref))!;
      return this.state(ref).replicas === replicas
        ? this.state(ref)
        : this.put(ref, replicas, managers === "none" ? managers : new Set());
    });
  }

  fenceScale(wanted: Parameters<ScaleClient["fenceScale"]>[0]): Promise<ScaleState> {
    const { replicas, resourceVersion, epoch, again, ...ref } = wanted;
    const manager = fenceManager(epoch, again);
    return this.#call(`fence ${replicas} ${manager}`, ref, () => {
      this.#check(ref, resourceVersion);
      const { managers } = this.#states.get(targetKey(ref))!;
      if (managers === "none" || this.state(ref).replicas !== replicas) throw refusedApply();
      this.writes.push({ key: targetKey(ref), kind: "fence", replicas });
      if (managers.has(manager)) return this.state(ref);
      return this.put(ref, replicas, new Set([...managers, manager]));
    });
  }

  #check(ref: TargetRef, resourceVersion: string): void {
    if (this.state(ref).resourceVersion !== resourceVersion) {
      throw kubeErrors.ELASTI_KUBE_CONFLICT("the object has been modified");
    }
  }

  async #call(call: string, ref: TargetRef, answer: () => ScaleState): Promise<ScaleState> {
    const key = targetKey(ref);
    this.calls.push(call);
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    try {
      await new Promise((resolve) => setImmediate(resolve));
      await this.before(call, key);
      const state = answer();
      await this.after(call, key);
      return state;
    } finally {
      this.running -= 1;
    }
  }
}

function refusedApply(): Error {
  return kubeErrors.ELASTI_KUBE_UNAVAILABLE("request to convert CR to an invalid group/version: autoscaling/v1", {
    details: { status: 500, sent: true },
  });
}
