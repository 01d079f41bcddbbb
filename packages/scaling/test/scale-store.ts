import { kubeErrors } from "@elasti/kube";
import { type ScaleClient, type ScaleState, type TargetRef, type Targets, targetKey } from "../src/index.ts";

export function deployment(name: string, namespace = "default"): TargetRef {
  return {
    namespace,
    name,
    resource: { group: "apps", version: "v1", plural: "deployments", kind: "Deployment", namespaced: true },
  };
}

/**
 * Scales with the resourceVersion semantics of the API server, as measured on a real one: a write that changes nothing
 * moves nothing, except an apply by a field manager that had not written before.
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
  readonly #states = new Map<string, { replicas: number; version: number; managers: Map<string, number> }>();
  readonly #cached = new Map<string, ScaleState>();
  #version = 100;
  running = 0;
  mostRunning = 0;

  /** Someone else writes. */
  put(ref: TargetRef, replicas: number): ScaleState {
    const managers = this.#states.get(targetKey(ref))?.managers ?? new Map<string, number>();
    this.#states.set(targetKey(ref), { replicas, version: ++this.#version, managers });
    return this.state(ref);
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
      return this.state(ref).replicas === replicas ? this.state(ref) : this.put(ref, replicas);
    });
  }

  fenceScale(wanted: Parameters<ScaleClient["fenceScale"]>[0]): Promise<ScaleState> {
    const { replicas, resourceVersion, epoch, fieldManagerPrefix = "elasti-epoch-", ...ref } = wanted;
    const manager = `${fieldManagerPrefix}${epoch}`;
    return this.#call(`fence ${replicas} ${manager}`, ref, () => {
      this.#check(ref, resourceVersion);
      this.writes.push({ key: targetKey(ref), kind: "fence", replicas });
      const { managers } = this.#states.get(targetKey(ref))!;
      if (managers.get(manager) === replicas && this.state(ref).replicas === replicas) return this.state(ref);
      managers.set(manager, replicas);
      return this.put(ref, replicas);
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
