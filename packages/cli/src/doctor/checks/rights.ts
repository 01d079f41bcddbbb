import type { Check } from "../snapshot.ts";

/** Both accounts may do what their programs do. */
export const checkRights: Check = ({ rights }) =>
  rights
    .filter(({ allowed }) => !allowed)
    .map(({ account, verb, resource, group, namespace, purpose }) => ({
      severity: "error",
      reason: "PermissionMissing",
      object: account.replace(/^system:serviceaccount:(.*):(.*)$/, "ServiceAccount $1/$2"),
      message: `it may not ${verb} ${resource}${group === "" ? "" : `.${group}`} ${namespace === undefined ? "everywhere" : `in ${namespace}`}: ${purpose}`,
      mend: `add to its ${namespace === undefined ? "ClusterRole" : "Role"}: {apiGroups: ["${group}"], resources: [${resource}], verbs: [${verb}]}`,
    }));
