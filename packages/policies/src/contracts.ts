import type { Metric, Policy, PolicyDraft, PolicyTarget } from "./schema/policy.ts";

/** What the rooms of this package say to each other. Times are RFC 3339 where they are kept, and ms where they are computed with. */

/** One reading of a metric. Unknown changes nothing: it neither holds nor breaks what others decide. */
export type MetricSample =
  | { readonly kind: "value"; readonly value: number; readonly atMs: number }
  | { readonly kind: "unknown"; readonly reason: string; readonly message: string; readonly atMs: number };

/** A target as metrics are asked of it: what the policy says, and what is behind that, as far as it is known. */
export interface MetricTarget extends PolicyTarget {
  /** Whose pods `resource` measures; where left out, what `api_version` and `kind` say, a Deployment where they are silent. */
  readonly workload?: {
    readonly namespace: string;
    readonly name: string;
    readonly apiVersion: string;
    readonly kind: string;
  };
  /** Services of the ElastiServices that name the target, whose `traffic` resolvers count. */
  readonly services?: readonly string[];
}

/** Reads metrics for a target. Equal questions of one round are asked once. Never rejects but by `signal`. */
export interface MetricReader {
  read(metric: Metric, target: MetricTarget, signal: AbortSignal): Promise<MetricSample>;
}

/** What is known of a target before a decision. */
export type TargetObservation =
  | {
      readonly kind: "found";
      /** spec.replicas now; where an autoscaler has the target, what it has made of it. */
      readonly replicas: number;
      /** Only bounds may be moved: an HPA or ScaledObject has the target. They are what it has now. */
      readonly bounds?: { readonly min: number; readonly max: number };
      /** resourceVersion of the object that a decision would write: the target, or the autoscaler that has it. */
      readonly resource_version: string;
      /** An ElastiService names the target: where it stands. From Draining to Waking nothing is written. */
      readonly phase?: string;
    }
  | { readonly kind: "missing"; readonly message: string }
  | { readonly kind: "unknown"; readonly message: string };

/** What one comparison, or a group of them, came to. */
export interface ConditionResult {
  /** Names it among the conditions of its policy, whatever its place: equal conditions share their hold. */
  readonly key: string;
  readonly text: string;
  /** Of a comparison; null where the metric is unknown. */
  readonly value?: number | null;
  /** Why it is unknown. */
  readonly unknown?: string;
  /** The comparison alone, now. */
  readonly met: boolean;
  /** Met for as long as it has to be. */
  readonly held: boolean;
  readonly held_seconds?: number;
  readonly parts?: readonly ConditionResult[];
}

export const holdBacks = [
  "cooldown",
  "stabilization",
  "step",
  "cost",
  "bounds",
  "window",
  "asleep",
  "override",
  "autoscaler",
  "by_hand",
  "unknown",
  "target",
] as const;
export type HoldBack = (typeof holdBacks)[number];

/** What an evaluation comes to. */
export interface Decision {
  readonly action: "scale_up" | "scale_down" | "scheduled" | "none";
  readonly current_replicas: number | null;
  /** Wanted after every limit; null: nothing is known. */
  readonly desired_replicas: number | null;
  /** Bounds that hold now, by policy, windows and cost. */
  readonly bounds: { readonly min: number; readonly max: number };
  /** `rule:<id>`, `schedule:<id>`, `bounds`; null where nothing is asked for. */
  readonly triggered_by: string | null;
  /** For people, with values. */
  readonly reason: string;
  /** What was asked for and not done, and until when that stands if time alone ends it. */
  readonly held_back: { readonly by: HoldBack; readonly message: string; readonly until?: string } | null;
  readonly rules: readonly {
    readonly rule: string;
    readonly direction: "up" | "down";
    readonly fired: boolean;
    readonly wants: number | null;
    readonly condition: ConditionResult;
  }[];
  /** Windows that are open now. */
  readonly windows: readonly string[];
  /** A window asks that the target be awake (its min is 1 or more). */
  readonly wants_awake: boolean;
  /**
   * Rules or a schedule ask for zero: a vote for sleep where an ElastiService names the target. It is said again in every round
   * for as long as it stands, with `action` and a `desired_replicas` of 0 that are then no change to be written or recorded anew.
   */
  readonly wants_zero: boolean;
}

/** What outlives a restart of one policy's evaluation. */
export interface PolicyState {
  readonly policy_id: string;
  readonly current_replicas: number | null;
  /** Where an autoscaler has the target: the least replicas that rules or a moment asked for, above the policy's own. */
  readonly floor: number | null;
  /** By condition key: met without a gap since, and seen to be so last. */
  readonly holds: Readonly<Record<string, { readonly since: string; readonly seen: string }>>;
  /** What was wanted of late, for stabilisation windows; bounded. */
  readonly recommendations: readonly { readonly at: string; readonly replicas: number }[];
  /** Changes of late, for step limits; bounded. */
  readonly changes: readonly { readonly at: string; readonly from: number; readonly to: number }[];
  readonly last_scale_up_at: string | null;
  readonly last_scale_down_at: string | null;
  readonly last_scale_action: string | null;
  /** By schedule id: the moment that was acted on last; of a window, when it was seen open last. */
  readonly schedule_marks: Readonly<Record<string, string>>;
  /** What the last recorded decision was, so that only changes are recorded. */
  readonly decision_mark: string;
  readonly evaluated_at: string | null;
  /** What the arbiter decided last, so that a change by hand stands until it decides otherwise. */
  readonly arbitrated: string | null;
  /** An action that was begun and of which it is not known yet what came of it; kept before it is tried. */
  readonly intent: ActionIntent | null;
}

/**
 * What is kept before a target is written, so that whoever leads next neither repeats what landed nor forgets it: the target is
 * what was wanted, and no longer at `resource_version`, exactly if the write landed.
 */
export interface ActionIntent {
  readonly resource_version: string;
  readonly replicas: number;
  readonly bounds?: { readonly min: number; readonly max: number };
  /** The line of history that tells of it. */
  readonly entry: HistoryEntry;
  /** The state that follows it. */
  readonly next: Omit<PolicyState, "intent">;
}

export const historyActions = ["scale_up", "scale_down", "scheduled", "manual", "sleep", "wake", "none"] as const;
export const historyOutcomes = [
  "executed",
  "failed",
  "dry_run",
  "shadow",
  "held_back",
  "suppressed",
  "no_change",
] as const;

/** One line of what was done, or of a decision that changed. It survives its policy. */
export interface HistoryEntry {
  readonly id: string;
  readonly kind: "action" | "decision";
  readonly policy_id: string | null;
  /** Empty for the operator's own. */
  readonly policy_name: string;
  readonly action: (typeof historyActions)[number];
  readonly outcome: (typeof historyOutcomes)[number];
  readonly target_type: string;
  readonly target_id: string | null;
  readonly target_ref: PolicyTarget | null;
  readonly previous_replicas: number | null;
  readonly new_replicas: number | null;
  readonly reason: string;
  /** `rule:<id>`, `schedule:<id>`, `override:<who>`, `manual:<who>`, `operator`. */
  readonly triggered_by: string;
  readonly dry_run: boolean;
  /** The decision with its values, where there is one. */
  readonly details: unknown;
  readonly executed_at: string;
}

export interface PolicyFilter {
  readonly enabled?: boolean;
  readonly target_type?: string;
  readonly namespace?: string;
  /** Any of these, on top of `namespace`: what a caller may see. Empty: nothing. */
  readonly namespaces?: readonly string[];
  readonly name?: string;
}
export interface HistoryFilter {
  readonly kind?: HistoryEntry["kind"];
  /** Of a policy that is still there: entries of others name none. */
  readonly policy_id?: string;
  /** As it was called then; the way to the entries of a policy that is gone. */
  readonly policy_name?: string;
  readonly action?: HistoryEntry["action"];
  readonly outcome?: HistoryEntry["outcome"];
  readonly namespace?: string;
  /** Any of these, on top of `namespace`: what a caller may see. Empty: nothing. */
  readonly namespaces?: readonly string[];
  readonly target_name?: string;
  readonly dry_run?: boolean;
  readonly since?: string;
  readonly until?: string;
}
/** A page, and where the next begins; the cursor is opaque. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly total: number;
  /** There are more than `total`: counting stopped there. */
  readonly at_least?: true;
  readonly next: string | null;
}
export interface PageRequest {
  readonly limit: number;
  readonly after?: string;
}

/** @throws ELASTI_POLICY_DATABASE when the database cannot be used now, from every method */
export interface PolicyRepository {
  /** @throws ELASTI_POLICY_EXISTS for a name that is taken */
  create(policy: PolicyDraft): Promise<Policy>;
  get(id: string): Promise<Policy | undefined>;
  byName(name: string): Promise<Policy | undefined>;
  /** By name. @throws ELASTI_POLICY_REQUEST_INVALID for a cursor that is none */
  list(filter: PolicyFilter, page: PageRequest): Promise<Page<Policy>>;
  /** Those that targets of policies are in, each once; at most `limit`. */
  namespaces(limit: number): Promise<readonly string[]>;
  /** Every enabled policy, or those of them that have these ids. */
  enabled(ids?: readonly string[]): Promise<readonly Policy[]>;
  /** Which version each enabled policy has, by id: little to read where few have changed. */
  enabledVersions(): Promise<ReadonlyMap<string, number>>;
  /**
   * In one transaction; `version`: only that one.
   * @throws ELASTI_POLICY_NOT_FOUND, ELASTI_POLICY_CHANGED, ELASTI_POLICY_EXISTS
   */
  replace(policy: PolicyDraft, version?: number): Promise<Policy>;
  /** @throws ELASTI_POLICY_NOT_FOUND, ELASTI_POLICY_CHANGED */
  delete(id: string, version?: number): Promise<void>;
  /** Raised by every change of any policy: unchanged, nothing has to be read again. */
  revision(): Promise<number>;
}

export interface StateRepository {
  get(policyId: string): Promise<PolicyState | undefined>;
  all(): Promise<readonly PolicyState[]>;
  /**
   * A leader begins: what an earlier one still tries to save is refused from now on.
   * @returns the number of its term, higher than all before
   */
  begin(): Promise<number>;
  /**
   * In one transaction. Of policies that are gone nothing is kept.
   * @throws ELASTI_POLICY_SUPERSEDED when a later term has begun; then nothing is saved
   */
  save(states: readonly PolicyState[], term: number): Promise<void>;
}

export interface HistoryRepository {
  /** An entry whose id is there already is left as it is: whoever cannot know whether it was written appends it again. */
  append(entries: readonly HistoryEntry[]): Promise<void>;
  /** Newest first. @throws ELASTI_POLICY_REQUEST_INVALID for a cursor that is none */
  list(filter: HistoryFilter, page: PageRequest): Promise<Page<HistoryEntry>>;
  /**
   * What took one target to zero and from it, done and not only meant, whoever did it: within [since, until), oldest first,
   * with the last one before it.
   */
  sleepsOf(target: PolicyTarget, since: string, until: string): Promise<readonly HistoryEntry[]>;
  /** Removes at most `limit` entries older than a moment. @returns how many */
  purge(olderThan: string, limit: number): Promise<number>;
}

/** What the engine keeps, whatever the database. */
export interface Store {
  readonly policies: PolicyRepository;
  readonly states: StateRepository;
  readonly history: HistoryRepository;
  /** Whether the database answers. @throws ELASTI_POLICY_DATABASE */
  ping(): Promise<void>;
  close(): Promise<void>;
}
