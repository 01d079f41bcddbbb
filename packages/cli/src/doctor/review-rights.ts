import type { KubeClient, Pod, Resource } from "@elasti/kube";
import type { Installation } from "../installation.ts";
import {
  homeNeeds,
  kedaNeeds,
  type Need,
  operatorNeeds,
  policyNeeds,
  resolverNeeds,
  targetNeeds,
  tokenNeeds,
} from "./rights.ts";
import type { ComponentState, Right } from "./snapshot.ts";

const concurrency = 8;

interface Subject {
  readonly found: Installation;
  readonly operator: ComponentState;
  readonly resolver: ComponentState;
  /** Kinds of targets. */
  readonly kinds: readonly Resource[];
  readonly keda: boolean;
}

/** Asks the API server what both accounts may do. @throws ELASTI_KUBE_FORBIDDEN when we may not ask that */
export async function reviewRights(client: KubeClient, subject: Subject): Promise<Right[]> {
  const { found, operator, resolver, kinds, keda } = subject;
  const everywhere: readonly (string | undefined)[] =
    found.watchNamespaces.length === 0 ? [undefined] : found.watchNamespaces;
  const of = (account: string | undefined, needs: readonly Need[], where: readonly (string | undefined)[]) =>
    account === undefined
      ? []
      : needs.flatMap(({ group, resource, subresource, verbs, purpose }) =>
          verbs.flatMap((verb) =>
            where.map((namespace) => ({ account, group, resource, subresource, verb, purpose, namespace })),
          ),
        );
  const its = accountOf(operator);
  const asked = [
    ...of(its, operatorNeeds, everywhere),
    ...of(
      its,
      kinds.flatMap(({ group, plural }) => targetNeeds(group, plural)),
      everywhere,
    ),
    ...(keda ? of(its, kedaNeeds, everywhere) : []),
    ...(found.reviewsTokens ? of(its, tokenNeeds, [undefined]) : []),
    ...(found.policies ? of(its, policyNeeds(found.watchNamespaces.length > 0), everywhere) : []),
    ...of(its, homeNeeds, [found.namespace]),
    ...of(accountOf(resolver), resolverNeeds, everywhere),
  ];
  const rights: Right[] = [];
  const next = asked.values();
  const work = async (): Promise<void> => {
    for (const { subresource, ...need } of next) {
      const allowed = await isAllowed(client, { ...need, subresource });
      const resource = subresource === undefined ? need.resource : `${need.resource}/${subresource}`;
      rights.push({ ...need, resource, allowed });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return rights;
}

/** The account of its pods; undefined where there are none. */
function accountOf({ pods }: ComponentState): string | undefined {
  const [pod] = pods as readonly (Pod & { spec: { serviceAccountName?: string } })[];
  if (pod === undefined) return undefined;
  return `system:serviceaccount:${pod.metadata.namespace}:${pod.spec.serviceAccountName ?? "default"}`;
}

interface Question {
  readonly account: string;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string | undefined;
  readonly namespace: string | undefined;
}

async function isAllowed(client: KubeClient, asked: Question): Promise<boolean> {
  const { account, verb, group, resource, subresource, namespace } = asked;
  const [, , home = ""] = account.split(":");
  const review = await client.raw<{ status?: { allowed?: boolean } }>(
    "POST",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: {
        user: account,
        groups: ["system:serviceaccounts", `system:serviceaccounts:${home}`, "system:authenticated"],
        resourceAttributes: {
          verb,
          group,
          resource,
          ...(subresource === undefined ? {} : { subresource }),
          ...(namespace === undefined ? {} : { namespace }),
        },
      },
    },
  );
  return review?.status?.allowed === true;
}
