import type { KubeObject } from "@elasti/kube";
import type { AuditCall } from "./audit-log.ts";

/** One thing that an account may do: verb, resource with subresource and group, and where. */
interface Grant {
  readonly account: string;
  readonly what: string;
  /** Every namespace where left out. */
  readonly namespace: string | undefined;
  /** Name of the role that grants it. */
  readonly role: string;
}

interface Role extends KubeObject {
  rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

interface Binding extends KubeObject {
  roleRef: { kind: string; name: string };
  subjects: { name: string; namespace: string }[];
}

const textOf = (verb: string, group: string, resource: string): string =>
  `${verb} ${resource}${group === "" ? "" : `.${group}`}`;

/** What the roles and bindings of a release grant, rule by rule and verb by verb. */
export function grantsOf(objects: readonly KubeObject[]): Grant[] {
  const roles = objects.filter(({ kind }) => kind === "Role" || kind === "ClusterRole") as Role[];
  const bindings = objects.filter(({ kind }) => kind === "RoleBinding" || kind === "ClusterRoleBinding") as Binding[];
  return bindings.flatMap(({ metadata, roleRef, subjects }) => {
    const role = roles.find(
      (one) =>
        one.kind === roleRef.kind &&
        one.metadata.name === roleRef.name &&
        (roleRef.kind === "ClusterRole" || one.metadata.namespace === metadata.namespace),
    );
    const all = (role?.rules ?? []).flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => textOf(verb, group, resource)))),
    );
    return subjects.flatMap(({ name }) =>
      all.map((what) => ({ account: name, what, namespace: metadata.namespace, role: roleRef.name })),
    );
  });
}

/**
 * Compares what accounts of a namespace did with what they may do.
 * @returns calls that were refused, and grants of which none was used, each as `account: verb resource.group`
 */
export function compare(
  calls: readonly AuditCall[],
  grants: readonly Grant[],
  namespace: string,
): { refused: string[]; unused: string[]; used: string[] } {
  const accountOf = (user: string) => user.split(":").at(-1) ?? "";
  const own = calls.filter(({ user }) => user.startsWith(`system:serviceaccount:${namespace}:`));
  const name = ({ user, verb, group, resource }: AuditCall) => `${accountOf(user)}: ${textOf(verb, group, resource)}`;
  const refused = own.filter((call) => call.refused).map(name);
  const serves = (grant: Grant, call: AuditCall) =>
    accountOf(call.user) === grant.account &&
    textOf(call.verb, call.group, call.resource) === grant.what &&
    (grant.namespace === undefined || grant.namespace === call.namespace);
  const of = (some: readonly Grant[]) => [...new Set(some.map(({ account, what }) => `${account}: ${what}`))].sort();
  const used = grants.filter((grant) => own.some((call) => serves(grant, call)));
  return {
    refused: [...new Set(refused)].sort(),
    unused: of(grants.filter((grant) => !used.includes(grant))),
    used: of(used),
  };
}
