import { parseArgs } from "node:util";
import { errorText } from "@elasti/core";
import { type ClusterOptions, clusterFlags, clusterUsage, type Environment } from "../cluster-access.ts";
import type { InstallationHints } from "../installation.ts";

/** What `elasti doctor` was asked to look at. */
export interface DoctorOptions extends ClusterOptions {
  /** All where empty. */
  readonly namespaces: readonly string[];
  /** Of this public Service only. */
  readonly service: string | undefined;
  readonly hints: InstallationHints;
  readonly json: boolean;
}

export type ParsedDoctor =
  | { readonly kind: "run"; readonly options: DoctorOptions }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string };

export const doctorUsage = `usage: elasti doctor [--namespace <name>]... [--service <name>] [--json]

Looks at an installation and at its ElastiServices, and says what is wrong, what it means and how to mend it. Changes nothing.

  --namespace <name>   only ElastiServices of this one; may be given several times
  --service <name>     only those of this Service
  --json               the findings as JSON
  --operator-namespace, --operator-service, --resolver-service, --lease <name>
                       where it does not find them by itself
${clusterUsage}

Exit code 0: nothing is wrong. 1: warnings. 2: errors, or the cluster could not be asked.
`;

/** Understands the arguments of `elasti doctor`; the first thing that is wrong is said in one line. */
export function parseDoctor(args: readonly string[], env: Environment): ParsedDoctor {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...clusterFlags,
        namespace: { type: "string", multiple: true, short: "n" },
        service: { type: "string" },
        "operator-namespace": { type: "string" },
        "operator-service": { type: "string" },
        "resolver-service": { type: "string" },
        lease: { type: "string" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) return { kind: "help" };
    const { kubeconfig, context, service, namespace = [], json = false } = values;
    return {
      kind: "run",
      options: {
        kubeconfig,
        context,
        namespaces: namespace,
        service,
        json,
        hints: {
          namespace: values["operator-namespace"] ?? env.POD_NAMESPACE,
          operatorService: values["operator-service"] ?? env.ELASTI_OPERATOR_SERVICE,
          resolverService: values["resolver-service"] ?? env.ELASTI_RESOLVER_SERVICE,
          leaseName: values.lease ?? env.ELASTI_LEASE_NAME,
        },
      },
    };
  } catch (error) {
    return { kind: "wrong", message: errorText(error) };
  }
}
