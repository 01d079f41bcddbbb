import type {
  HistoryEntry,
  HistoryFilter,
  HistoryRepository,
  Page,
  PageRequest,
  PolicyRepository,
} from "../contracts.ts";
import { policyErrors } from "../errors.ts";
import { type Caller, type Guard, MAX_NAMESPACES } from "./access.ts";
import { namespaceOf } from "./policies.ts";

/** What was done and decided, for callers. */
export class HistoryService {
  readonly #policies: PolicyRepository;
  readonly #history: HistoryRepository;
  readonly #guard: Guard;

  constructor(deps: { policies: PolicyRepository; history: HistoryRepository; guard: Guard }) {
    this.#policies = deps.policies;
    this.#history = deps.history;
    this.#guard = deps.guard;
  }

  async list(caller: Caller, filter: HistoryFilter, page: PageRequest): Promise<Page<HistoryEntry>> {
    const namespaces = await this.#guard.visible(caller, filter.namespace);
    return this.#history.list({ ...filter, ...(namespaces === undefined ? {} : { namespaces }) }, page);
  }

  /** Of one policy; what is kept of one that is gone has only its name. @throws ELASTI_POLICY_NOT_FOUND */
  async ofPolicy(caller: Caller, id: string, filter: HistoryFilter, page: PageRequest): Promise<Page<HistoryEntry>> {
    const policy = await this.#policies.get(id);
    if (policy === undefined) throw policyErrors.ELASTI_POLICY_NOT_FOUND(`there is no policy ${id}`);
    await this.#guard.policies(caller, "get", namespaceOf(policy));
    return this.#history.list({ ...filter, policy_id: id }, page);
  }
}

/** Where policies and ElastiServices are, each once. */
export async function knownNamespaces(
  policies: PolicyRepository,
  elastiServices: () => readonly string[],
): Promise<readonly string[]> {
  const ofPolicies = await policies.namespaces(MAX_NAMESPACES + 1);
  return [...new Set([...ofPolicies, ...elastiServices()])].sort();
}
