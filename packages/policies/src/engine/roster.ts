import { spreadOffsetMs } from "@elasti/scaling";
import type { PolicyRepository } from "../contracts.ts";
import { metricsOf } from "../domain/metric-key.ts";
import type { Policy } from "../schema/policy.ts";
import type { Timetable } from "./timetable.ts";

/** The enabled policies as the database has them, read again only when one has changed, each with its place in the timetable. */
export class Roster {
  readonly #repository: Pick<PolicyRepository, "enabled" | "enabledVersions" | "revision">;
  readonly #timetable: Timetable;
  readonly #onGone: (id: string) => void;
  #policies: ReadonlyMap<string, Policy> = new Map();
  #revision: number | undefined;

  /** @param onGone called with each policy that is not enabled any more */
  constructor(
    repository: Pick<PolicyRepository, "enabled" | "enabledVersions" | "revision">,
    timetable: Timetable,
    onGone: (id: string) => void,
  ) {
    this.#repository = repository;
    this.#timetable = timetable;
    this.#onGone = onGone;
  }

  get size(): number {
    return this.#policies.size;
  }

  ids(): Iterable<string> {
    return this.#policies.keys();
  }

  get(id: string): Policy | undefined {
    return this.#policies.get(id);
  }

  /** @returns whether anything has changed. @throws ELASTI_POLICY_DATABASE */
  async refresh(): Promise<boolean> {
    const revision = await this.#repository.revision();
    if (revision === this.#revision) return false;
    const before = this.#policies;
    const policies = await this.#read(before);
    // what has changed in between has raised the revision again, and is read the next time
    this.#revision = revision;
    this.#policies = policies;
    for (const id of before.keys()) {
      if (policies.has(id)) continue;
      this.#timetable.remove(id);
      this.#onGone(id);
    }
    for (const [id, policy] of policies) {
      const known = before.get(id);
      if (known?.version === policy.version) continue;
      this.#timetable.put(id, spreadOffsetMs(questionOf(policy), this.#timetable.intervalMs));
      // what is new, or means something else now, does not wait for its turn
      if (before.size > 0 || this.#policies.size < 100) this.#timetable.hurry(id);
    }
    return true;
  }

  /**
   * The enabled policies. Those that have not changed stay the objects that they were, with what is worked out once of their
   * rules and windows, and are not read.
   */
  async #read(before: ReadonlyMap<string, Policy>): Promise<ReadonlyMap<string, Policy>> {
    if (before.size === 0) return byId(await this.#repository.enabled());
    const versions = await this.#repository.enabledVersions();
    const kept = [...before.values()].filter(({ id, version }) => versions.get(id) === version);
    const same = new Set(kept.map(({ id }) => id));
    const changed = [...versions.keys()].filter((id) => !same.has(id));
    return byId([...kept, ...(changed.length === 0 ? [] : await this.#repository.enabled(changed))]);
  }
}

const byId = (policies: readonly Policy[]): ReadonlyMap<string, Policy> =>
  new Map(policies.map((policy) => [policy.id, policy]));

/** What a policy asks first: those that ask the same are due together, so that it is asked once. */
function questionOf(policy: Policy): string {
  const [key] = metricsOf(policy).keys();
  return key ?? policy.id;
}
