import { ElastiError, type Logger } from "@elasti/core";
import type { Page, PageRequest, PolicyFilter, PolicyRepository } from "../contracts.ts";
import { metricsOf } from "../domain/metric-key.ts";
import { policyErrors } from "../errors.ts";
import type { Metric, Policy, PolicyDraft } from "../schema/policy.ts";
import type { Caller, Guard, PolicyVerb } from "./access.ts";

/** Makes what is kept of what was sent. @throws ELASTI_POLICY_INVALID with `details.errors`, one for each wrong field */
export interface PolicyRules {
  create(body: unknown): PolicyDraft;
  /** Rules and schedules that stay the same keep their ids, and so their hold times. */
  change(policy: Policy, body: unknown): PolicyDraft;
}

/** Versions of which one must be the current one; undefined: whatever it is. */
export type Precondition = readonly number[] | undefined;

/** A change without a precondition is made again so often when somebody else was faster. */
const attempts = 5;

/** Policies, for callers. Every method throws ELASTI_POLICY_FORBIDDEN, ELASTI_POLICY_ACCESS_UNKNOWN and ELASTI_POLICY_DATABASE. */
export class PolicyService {
  readonly #policies: PolicyRepository;
  readonly #rules: PolicyRules;
  readonly #guard: Guard;
  readonly #logger: Logger;

  constructor(deps: { policies: PolicyRepository; rules: PolicyRules; guard: Guard; logger: Logger }) {
    this.#policies = deps.policies;
    this.#rules = deps.rules;
    this.#guard = deps.guard;
    this.#logger = deps.logger;
  }

  /** @throws ELASTI_POLICY_INVALID, ELASTI_POLICY_EXISTS */
  async create(caller: Caller, body: unknown): Promise<Policy> {
    const draft = this.#rules.create(body);
    await this.#guard.policies(caller, "create", namespaceOf(draft));
    await this.#secrets(caller, draft);
    const policy = await this.#policies.create(draft);
    this.#note(caller, "created", policy);
    return policy;
  }

  /** What a body would be kept as. Nothing is written, and its name may be taken. @throws ELASTI_POLICY_INVALID */
  async check(caller: Caller, body: unknown): Promise<PolicyDraft> {
    const draft = this.#rules.create(body);
    await this.#guard.policies(caller, "get", namespaceOf(draft));
    return draft;
  }

  /** @throws ELASTI_POLICY_NOT_FOUND */
  get(caller: Caller, id: string): Promise<Policy> {
    return this.allowed(caller, "get", id);
  }

  async list(caller: Caller, filter: PolicyFilter, page: PageRequest): Promise<Page<Policy>> {
    const namespaces = await this.#guard.visible(caller, filter.namespace);
    return this.#policies.list({ ...filter, ...(namespaces === undefined ? {} : { namespaces }) }, page);
  }

  /** @throws ELASTI_POLICY_INVALID, ELASTI_POLICY_EXISTS, ELASTI_POLICY_NOT_FOUND, ELASTI_POLICY_CHANGED */
  update(caller: Caller, id: string, body: unknown, precondition: Precondition): Promise<Policy> {
    return this.#write(caller, "update", id, precondition, async (policy) => {
      const draft = this.#rules.change(policy, body);
      if (namespaceOf(draft) !== namespaceOf(policy)) {
        await this.#guard.policies(caller, "create", namespaceOf(draft));
      }
      await this.#secrets(caller, draft, policy);
      const changed = await this.#policies.replace(draft, policy.version);
      this.#note(caller, "changed", changed);
      return changed;
    });
  }

  /** @throws ELASTI_POLICY_NOT_FOUND, ELASTI_POLICY_CHANGED */
  setEnabled(caller: Caller, id: string, enabled: boolean, precondition: Precondition): Promise<Policy> {
    return this.#write(caller, "update", id, precondition, async (policy) => {
      if (policy.enabled === enabled) return policy;
      const { version, created_at: _, updated_at: __, ...draft } = policy;
      const changed = await this.#policies.replace({ ...draft, enabled }, version);
      this.#note(caller, enabled ? "enabled" : "disabled", changed);
      return changed;
    });
  }

  /** @throws ELASTI_POLICY_NOT_FOUND, ELASTI_POLICY_CHANGED */
  delete(caller: Caller, id: string, precondition: Precondition): Promise<void> {
    return this.#write(caller, "delete", id, precondition, async (policy) => {
      await this.#policies.delete(id, policy.version);
      this.#note(caller, "deleted", policy);
    });
  }

  /** The policy, where the caller may do this with it. @throws ELASTI_POLICY_NOT_FOUND */
  async allowed(caller: Caller, verb: PolicyVerb, id: string): Promise<Policy> {
    const policy = await this.#policies.get(id);
    if (policy === undefined) throw policyErrors.ELASTI_POLICY_NOT_FOUND(`there is no policy ${id}`);
    await this.#guard.policies(caller, verb, namespaceOf(policy));
    return policy;
  }

  /** Writes to the version that was read; who asked for no version is not told that there was a newer one meanwhile. */
  async #write<T>(
    caller: Caller,
    verb: PolicyVerb,
    id: string,
    precondition: Precondition,
    write: (policy: Policy) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const policy = await this.allowed(caller, verb, id);
      if (precondition !== undefined && !precondition.includes(policy.version)) {
        throw policyErrors.ELASTI_POLICY_CHANGED(`the policy is at version ${policy.version} now`);
      }
      try {
        return await write(policy);
      } catch (error) {
        const changed = error instanceof ElastiError && error.code === "ELASTI_POLICY_CHANGED";
        if (!changed || precondition !== undefined || attempt >= attempts) throw error;
      }
    }
  }

  /** Nobody reads by a policy what they may not read themselves. */
  async #secrets(caller: Caller, draft: PolicyDraft, before?: Policy): Promise<void> {
    const namespace = namespaceOf(draft);
    if (namespace === undefined) return;
    const known = before !== undefined && namespaceOf(before) === namespace ? secretsOf(before) : new Set<string>();
    for (const name of secretsOf(draft).difference(known)) await this.#guard.secret(caller, namespace, name);
  }

  #note(caller: Caller, what: string, { id, name, version }: Policy): void {
    this.#logger.info({ policy: id, policyName: name, version, caller: caller.name }, `policy ${what}`);
  }
}

/** Where the target of a policy is; undefined for one that names none. */
export const namespaceOf = (policy: PolicyDraft): string | undefined => policy.target_ref?.namespace;

/** Secrets that the rules of a policy read. */
function secretsOf(policy: PolicyDraft): Set<string> {
  return new Set([...metricsOf(policy).values()].flatMap(secretOf));
}

function secretOf(metric: Metric): string[] {
  if (typeof metric === "string" || metric.source !== "sql") return [];
  const slash = metric.connection.indexOf("/");
  return slash < 0 ? [] : [metric.connection.slice(0, slash)];
}

/** Policies read at once where all are gone through. */
const pageSize = 500;

/** Every policy, in some namespaces only where they are given, page by page. */
export async function* allPolicies(
  policies: PolicyRepository,
  namespaces?: readonly string[],
): AsyncGenerator<Policy, void, void> {
  const filter = namespaces === undefined ? {} : { namespaces };
  let after: string | undefined;
  do {
    const { items, next } = await policies.list(filter, { limit: pageSize, ...(after === undefined ? {} : { after }) });
    yield* items;
    after = next ?? undefined;
  } while (after !== undefined);
}
