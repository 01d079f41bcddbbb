import { AnswerCache, type Clock, ElastiError, errorText, type Logger } from "@elasti/core";
import { type AccessQuestion, isForbidden, type KubeClient, reviewAccess, type Subject } from "@elasti/kube";
import PQueue from "p-queue";
import { policyErrors } from "../errors.ts";
import { type Access, type Caller, POLICY_RESOURCE, type PolicyVerb } from "../service/access.ts";

export interface KubeAccessOptions {
  /** Those that the operator has rights in, and asks about one by one; empty: it asks for the whole cluster. */
  readonly namespaces: readonly string[];
  /** How long a yes is given again, in ms. */
  readonly positiveMs?: number;
  readonly negativeMs?: number;
  readonly maxEntries?: number;
  /** Questions to the API server at once. */
  readonly concurrency?: number;
  /** Questions that wait or are under way; more are refused. */
  readonly maxPending?: number;
}

/** Asks the cluster's authorizer, by SubjectAccessReview. Answers are kept for seconds. */
export class KubeAccess implements Access {
  readonly #client: KubeClient;
  readonly #logger: Logger;
  readonly #namespaces: readonly string[];
  readonly #answers: AnswerCache<boolean>;
  readonly #queue: PQueue;

  constructor(deps: { client: KubeClient; clock: Clock; logger: Logger }, options: KubeAccessOptions) {
    this.#client = deps.client;
    this.#logger = deps.logger;
    this.#namespaces = options.namespaces;
    const { positiveMs = 10_000, negativeMs = 5_000 } = options;
    this.#answers = new AnswerCache<boolean>(deps.clock, {
      keepMs: (allowed) => (allowed ? positiveMs : negativeMs),
      renews: (allowed) => allowed,
      maxEntries: options.maxEntries ?? 10_000,
      maxPending: options.maxPending ?? 2_000,
      busy: () => policyErrors.ELASTI_POLICY_ACCESS_UNKNOWN("too many questions for rights are waiting"),
    });
    this.#queue = new PQueue({ concurrency: options.concurrency ?? 16 });
  }

  mayPolicies(caller: Caller, verb: PolicyVerb, namespace: string | undefined): Promise<boolean> {
    return this.#may(caller, { ...POLICY_RESOURCE, verb, ...(namespace === undefined ? {} : { namespace }) });
  }

  mayReadSecret(caller: Caller, namespace: string, name: string): Promise<boolean> {
    return this.#may(caller, { verb: "get", group: "", resource: "secrets", namespace, name });
  }

  async #may({ subject }: Caller, question: AccessQuestion): Promise<boolean> {
    if (subject === undefined) return true;
    // nothing can be done there by whomever
    const { namespace } = question;
    if (this.#isLocal && (namespace === undefined || !this.#namespaces.includes(namespace))) return false;
    return this.#answers.get(JSON.stringify([keyOf(subject), question]), () =>
      this.#queue.add(() => this.#ask(subject, question)),
    );
  }

  get #isLocal(): boolean {
    return this.#namespaces.length > 0;
  }

  async #ask(subject: Subject, question: AccessQuestion): Promise<boolean> {
    try {
      const { allowed } = await reviewAccess(this.#client, subject, question, { local: this.#isLocal });
      return allowed;
    } catch (error) {
      const reason = error instanceof ElastiError ? error.code : "internal";
      const { namespace } = question;
      if (this.#isLocal && isForbidden(error)) {
        // a namespace that is gone, and its Roles with it; it must not hide what there is in the others
        this.#logger.warn({ reason, namespace, error: errorText(error) }, "the operator has no rights there");
        return false;
      }
      this.#logger.warn({ reason, error: errorText(error) }, "rights could not be asked for");
      throw policyErrors.ELASTI_POLICY_ACCESS_UNKNOWN("the API server could not be asked what the caller may do", {
        cause: error,
      });
    }
  }
}

/** Everything that an authorizer may look at; two callers that differ in any of it share no answer. */
function keyOf({ username, groups, uid, extra }: Subject): unknown {
  const further = Object.entries(extra ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [username, groups.toSorted(), uid ?? "", further];
}
