import type { Subject } from "@elasti/kube";
import { policyErrors } from "../errors.ts";

/** Who asks. */
export interface Caller {
  /** For messages, logs and history. */
  readonly name: string;
  /** As the cluster's authorizer knows them; left out for whoever holds the token of this installation: they may do everything. */
  readonly subject?: Subject;
}

/** Says who asks. */
export interface Callers {
  /**
   * @param authorization value of the Authorization header
   * @throws ELASTI_POLICY_UNAUTHENTICATED, ELASTI_POLICY_ACCESS_UNKNOWN when nobody can say
   */
  identify(authorization: string | undefined): Promise<Caller>;
}

/** What is asked for, in words of RBAC. */
export type PolicyVerb = "get" | "list" | "create" | "update" | "delete";

/** Says what a caller may do. Answers may be some seconds old. @throws ELASTI_POLICY_ACCESS_UNKNOWN when nobody can say */
export interface Access {
  /** Something with policies whose target is in a namespace; undefined: in every namespace. */
  mayPolicies(caller: Caller, verb: PolicyVerb, namespace: string | undefined): Promise<boolean>;
  mayReadSecret(caller: Caller, namespace: string, name: string): Promise<boolean>;
}

/** The resource that rights are given for. There is no object of it: only the authorizer knows the word. */
export const POLICY_RESOURCE = { group: "elasti.truefoundry.com", resource: "scalingpolicies" } as const;

const where = (namespace: string | undefined): string =>
  namespace === undefined ? "in every namespace" : `in namespace ${namespace}`;

/** Lets through what a caller may do. */
export class Guard {
  readonly #access: Access;
  readonly #namespaces: () => Promise<readonly string[]>;

  /** @param deps.namespaces where policies and ElastiServices are, at most `MAX_NAMESPACES` and one */
  constructor(deps: { access: Access; namespaces: () => Promise<readonly string[]> }) {
    this.#access = deps.access;
    this.#namespaces = deps.namespaces;
  }

  /** @throws ELASTI_POLICY_FORBIDDEN */
  async policies(caller: Caller, verb: PolicyVerb, namespace: string | undefined): Promise<void> {
    if (await this.#access.mayPolicies(caller, verb, namespace)) return;
    const { group, resource } = POLICY_RESOURCE;
    throw policyErrors.ELASTI_POLICY_FORBIDDEN(
      `${caller.name} may not ${verb} ${resource}.${group} ${where(namespace)}`,
    );
  }

  /** @throws ELASTI_POLICY_FORBIDDEN */
  async secret(caller: Caller, namespace: string, name: string): Promise<void> {
    if (await this.#access.mayReadSecret(caller, namespace, name)) return;
    throw policyErrors.ELASTI_POLICY_FORBIDDEN(
      `${caller.name} may not get secrets ${where(namespace)}, and a rule names Secret ${name}`,
    );
  }

  /**
   * The namespaces of which a list may show something.
   * @param asked the one that the caller wants to see
   * @returns undefined: all
   * @throws ELASTI_POLICY_FORBIDDEN for one that may not be seen, and where there are too many to look at
   */
  async visible(caller: Caller, asked?: string): Promise<readonly string[] | undefined> {
    if (await this.#access.mayPolicies(caller, "list", undefined)) return undefined;
    if (asked !== undefined) {
      await this.policies(caller, "list", asked);
      return undefined;
    }
    const candidates = await this.#namespaces();
    if (candidates.length > MAX_NAMESPACES) {
      throw policyErrors.ELASTI_POLICY_FORBIDDEN(
        `${caller.name} may not list ${POLICY_RESOURCE.resource}.${POLICY_RESOURCE.group} in every namespace, and there are more than ${MAX_NAMESPACES}: say which one with ?namespace=`,
      );
    }
    const may = await Promise.all(candidates.map((namespace) => this.#access.mayPolicies(caller, "list", namespace)));
    return candidates.filter((_, index) => may[index]);
  }
}

/** So many namespaces are looked at for one list. */
export const MAX_NAMESPACES = 500;
