import type { PolicyState, StateRepository } from "../contracts.ts";
import { policyErrors } from "../errors.ts";

/**
 * The states of policies while this replica leads: in memory, and in the database as far as the next leader needs them. What
 * changes nothing of substance (a condition that was seen to hold once more) is written now and then, everything else at once
 * with the next batch.
 */
export class StateKeeper {
  readonly #repository: StateRepository;
  /** After so long a state is written whatever it says, in ms. */
  readonly #refreshMs: number;
  readonly #states = new Map<string, PolicyState>();
  readonly #saved = new Map<string, PolicyState>();
  readonly #dirty = new Set<string>();
  #term: number | undefined;

  constructor(repository: StateRepository, refreshMs: number) {
    this.#repository = repository;
    this.#refreshMs = refreshMs;
  }

  get begun(): boolean {
    return this.#term !== undefined;
  }

  /** States that the database does not have yet. */
  get waiting(): number {
    return this.#dirty.size;
  }

  /** Takes over from whoever led before. @throws ELASTI_POLICY_DATABASE */
  async begin(): Promise<void> {
    const term = await this.#repository.begin();
    const states = await this.#repository.all();
    this.#states.clear();
    this.#saved.clear();
    this.#dirty.clear();
    for (const state of states) {
      this.#states.set(state.policy_id, state);
      this.#saved.set(state.policy_id, state);
    }
    this.#term = term;
  }

  /** No longer ours to write. */
  end(): void {
    this.#term = undefined;
    this.#states.clear();
    this.#saved.clear();
    this.#dirty.clear();
  }

  get(policyId: string): PolicyState | undefined {
    return this.#states.get(policyId);
  }

  put(state: PolicyState): void {
    if (this.#term === undefined) return;
    const { policy_id: id } = state;
    this.#states.set(id, state);
    const saved = this.#saved.get(id);
    if (saved === undefined || !isSameButTimes(saved, state) || ageMs(saved, state) >= this.#refreshMs)
      this.#dirty.add(id);
  }

  /**
   * Writes one state at once: what is about to be done.
   * @throws ELASTI_POLICY_DATABASE, ELASTI_POLICY_SUPERSEDED
   */
  async keep(state: PolicyState): Promise<void> {
    await this.#repository.save([state], this.#termNow());
    this.#states.set(state.policy_id, state);
    this.#saved.set(state.policy_id, state);
    this.#dirty.delete(state.policy_id);
  }

  /** Writes what has changed, in one batch. @throws ELASTI_POLICY_DATABASE, ELASTI_POLICY_SUPERSEDED */
  async flush(): Promise<void> {
    if (this.#dirty.size === 0 || this.#term === undefined) return;
    const states = [...this.#dirty].flatMap((id) => this.#states.get(id) ?? []);
    await this.#repository.save(states, this.#term);
    for (const state of states) {
      this.#saved.set(state.policy_id, state);
      // it may have changed again meanwhile
      if (this.#states.get(state.policy_id) === state) this.#dirty.delete(state.policy_id);
    }
  }

  forget(policyId: string): void {
    this.#states.delete(policyId);
    this.#saved.delete(policyId);
    this.#dirty.delete(policyId);
  }

  #termNow(): number {
    if (this.#term === undefined) throw policyErrors.ELASTI_POLICY_SUPERSEDED("this replica does not lead any more");
    return this.#term;
  }
}

const ageMs = (saved: PolicyState, state: PolicyState): number =>
  Math.abs(timeOf(state.evaluated_at) - timeOf(saved.evaluated_at));
const timeOf = (time: string | null): number => (time === null ? 0 : Date.parse(time));

/** Whether two states are the same but for when things were seen last. */
function isSameButTimes(a: PolicyState, b: PolicyState): boolean {
  return substance(a) === substance(b);
}

function substance({ evaluated_at: _, recommendations: __, holds, ...rest }: PolicyState): string {
  const since = Object.entries(holds).map(([key, hold]) => [key, hold.since]);
  return JSON.stringify([rest, since.sort()]);
}
