import { type ElastiService, keyOf } from "@elasti/api";
import type { Vote, VoteSink, WorkloadReference } from "@elasti/policies";
import { isSameTarget } from "../autoscalers/autoscaler-watch.ts";
import type { PolicyVote, PolicyVotes } from "../policy-hooks.ts";

interface Entry {
  readonly policyId: string;
  readonly workload: WorkloadReference;
  readonly vote: Vote;
}

export interface VoteTableOptions {
  /** Those whose target has a name. */
  readonly ofTarget: (namespace: string, target: string) => readonly ElastiService[];
  readonly all: () => readonly ElastiService[];
}

const UNKNOWN =
  "not every scaling policy has been evaluated since this operator leads: one may ask for replicas at this hour";

/** What the policies ask of the ElastiServices that name their targets, as the leader has evaluated them last. */
export class VoteTable implements VoteSink, PolicyVotes {
  readonly #byPolicy = new Map<string, Entry>();
  /** By `namespace/name` of the workload. */
  readonly #byTarget = new Map<string, Map<string, Entry>>();
  readonly #listeners = new Set<(key: string) => void>();
  readonly #elastiServices: VoteTableOptions;
  #settled = false;

  constructor(elastiServices: VoteTableOptions) {
    this.#elastiServices = elastiServices;
  }

  onChange(listener: (key: string) => void): void {
    this.#listeners.add(listener);
  }

  vote(policyId: string, workload: WorkloadReference | undefined, vote: Vote | undefined): void {
    const before = this.#byPolicy.get(policyId);
    const after = workload === undefined || vote === undefined ? undefined : { policyId, workload, vote };
    if (before === undefined && after === undefined) return;
    if (before !== undefined && after !== undefined && isSame(before, after)) return;
    if (before !== undefined) this.#remove(before);
    if (after !== undefined) this.#add(after);
    const { ofTarget } = this.#elastiServices;
    for (const one of [before, after])
      if (one !== undefined) this.#tell(ofTarget(one.workload.namespace, one.workload.name));
  }

  settled(known: boolean): void {
    if (known === this.#settled) return;
    this.#settled = known;
    if (known) this.#tell(this.#elastiServices.all());
  }

  /** The policies that have a say in the target of an ElastiService. */
  policiesOf(es: ElastiService): string[] {
    return this.#entriesOf(es).map(({ policyId }) => policyId);
  }

  of(es: ElastiService): PolicyVote {
    const votes = this.#entriesOf(es);
    const [first] = votes;
    const unknown = this.#settled ? {} : { unknown: UNKNOWN };
    if (first === undefined) return unknown;
    const highest = votes.reduce((most, one) => (one.vote.floor > most.vote.floor ? one : most));
    const { floor, reason } = highest.vote;
    return {
      ...unknown,
      // who asks for the most capacity wins: all of them have to ask for zero
      ...(votes.every(({ vote }) => vote.idle) ? { idle: first.vote.reason } : {}),
      ...(floor >= 1 ? { floor: { replicas: floor, message: reason } } : {}),
      awake: Math.max(1, ...votes.map(({ vote }) => vote.awake)),
    };
  }

  #entriesOf({ metadata, spec }: ElastiService): Entry[] {
    const all = this.#byTarget.get(keyOf(metadata.namespace ?? "", spec.scaleTargetRef.name));
    if (all === undefined) return [];
    return [...all.values()].filter(({ workload }) => isSameTarget(workload, spec.scaleTargetRef));
  }

  #tell(elastiServices: readonly ElastiService[]): void {
    for (const { metadata } of elastiServices) {
      for (const listener of this.#listeners) listener(keyOf(metadata.namespace ?? "", metadata.name));
    }
  }

  #add(entry: Entry): void {
    const { namespace, name } = entry.workload;
    this.#byPolicy.set(entry.policyId, entry);
    const key = keyOf(namespace, name);
    const all = this.#byTarget.get(key) ?? new Map<string, Entry>();
    all.set(entry.policyId, entry);
    this.#byTarget.set(key, all);
  }

  #remove({ policyId, workload: { namespace, name } }: Entry): void {
    this.#byPolicy.delete(policyId);
    const key = keyOf(namespace, name);
    const all = this.#byTarget.get(key);
    all?.delete(policyId);
    if (all?.size === 0) this.#byTarget.delete(key);
  }
}

/** The reason has values in it that differ each time. */
const isSame = (a: Entry, b: Entry): boolean =>
  a.workload.namespace === b.workload.namespace &&
  a.workload.name === b.workload.name &&
  a.workload.kind === b.workload.kind &&
  a.workload.apiVersion === b.workload.apiVersion &&
  a.vote.idle === b.vote.idle &&
  a.vote.floor === b.vote.floor &&
  a.vote.awake === b.vote.awake;
