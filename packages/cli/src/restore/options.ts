import { parseArgs } from "node:util";
import { errorText, parseDuration } from "@elasti/core";
import { longestRestoreMs } from "@elasti/operator";
import { type ClusterOptions, clusterFlags, clusterUsage, type Environment } from "../cluster-access.ts";

/** What `elasti restore` was asked to do. */
export interface RestoreOptions extends ClusterOptions {
  /** All where empty. */
  readonly namespaces: readonly string[];
  /** Where the operator's Lease and port table are; undefined: found out. */
  readonly systemNamespace: string | undefined;
  readonly leaseName: string;
  /** Service of the resolvers, in the operator's namespace. */
  readonly resolverService: string;
  /** Name of the operator's Deployment, to be scaled to zero first. */
  readonly stopOperator: string | undefined;
  /** Takes the Lease from an operator that holds it. */
  readonly force: boolean;
  /** Deletes the Lease and the port table at the end. */
  readonly purge: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
  /** A target that was woken and has no ready pod is no failure. */
  readonly acceptNotReady: boolean;
  /** Longest wait for the pods of one service, in ms. */
  readonly timeoutMs: number;
}

export type ParsedRestore =
  | { readonly kind: "run"; readonly options: RestoreOptions }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string };

/** For graces after the pods are there: the longest is an hour, and 30 s the rule. */
export const graceMarginMs = 60_000;
const longestTimeoutMs = longestRestoreMs - graceMarginMs;

export const restoreUsage = `usage: elasti restore [--namespace <name>]... [--dry-run] [--json] [--timeout <duration>]

Puts back every Service, target and autoscaler as they were without Elasti, with no operator running: wakes what sleeps, waits
for its pods, then leads clients to them again and removes what Elasti made. May be stopped at any moment and run again.

  --namespace <name>   only this one; may be given several times; left out: those of WATCH_NAMESPACES, or all
  --dry-run            only says what it would do
  --json               the result as JSON
  --timeout <time>     longest wait for the pods of a service, then it is given back without them (2m)
  --stop-operator[=<deployment>]
                       scales the operator (elasti-operator) to zero first; to what it was when something could not be put back
  --accept-not-ready   exit code 0 also where not every target has a ready pod
  --force              takes the Lease from an operator that runs; it takes it again afterwards, so remove it at once
  --purge              deletes the Lease and the port table, too, when everything is put back
  --operator-namespace <name>
                       namespace of the operator; left out: that of the pod it runs in, or where the Lease is
  --lease <name>       name of the Lease (elasti-operator)
  --resolver-service <name>
                       Service of the resolvers in that namespace (elasti-resolver)
${clusterUsage}

Exit code 0: everything is put back. 1: so it is, but not every target has a ready pod. 2: something is left, or it could not begin.
`;

/** Understands the arguments of `elasti restore`; the first thing that is wrong is said in one line. */
export function parseRestore(args: readonly string[], env: Environment): ParsedRestore {
  try {
    const { values } = parseArgs({
      // the one flag whose value may be left out
      args: args.map((arg) => (arg === "--stop-operator" ? "--stop-operator=elasti-operator" : arg)),
      options: {
        ...clusterFlags,
        namespace: { type: "string", multiple: true, short: "n" },
        "operator-namespace": { type: "string" },
        lease: { type: "string" },
        "resolver-service": { type: "string" },
        "stop-operator": { type: "string" },
        force: { type: "boolean" },
        purge: { type: "boolean" },
        "accept-not-ready": { type: "boolean" },
        "dry-run": { type: "boolean" },
        json: { type: "boolean" },
        timeout: { type: "string", default: "2m" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) return { kind: "help" };
    const timeoutMs = parseDuration(values.timeout);
    if (timeoutMs < 1_000 || timeoutMs > longestTimeoutMs)
      return wrong(`--timeout: expected 1s to ${longestTimeoutMs / 1_000}s, got ${values.timeout}`);
    const watched = (env.WATCH_NAMESPACES ?? "").split(",").map((name) => name.trim());
    // an operator that looks after some has a port table of its own
    const namespaces = values.namespace ?? watched.filter((name) => name !== "");
    if (values.purge === true && values.namespace !== undefined)
      return wrong("--purge removes what all namespaces share; leave out --namespace");
    return {
      kind: "run",
      options: {
        kubeconfig: values.kubeconfig,
        context: values.context,
        namespaces,
        systemNamespace: values["operator-namespace"] ?? env.POD_NAMESPACE,
        leaseName: values.lease ?? env.ELASTI_LEASE_NAME ?? "elasti-operator",
        resolverService: values["resolver-service"] ?? env.ELASTI_RESOLVER_SERVICE ?? "elasti-resolver",
        stopOperator: values["stop-operator"],
        force: values.force ?? false,
        purge: values.purge ?? false,
        dryRun: values["dry-run"] ?? false,
        json: values.json ?? false,
        acceptNotReady: values["accept-not-ready"] ?? false,
        timeoutMs,
      },
    };
  } catch (error) {
    return wrong(errorText(error));
  }
}

const wrong = (message: string): ParsedRestore => ({ kind: "wrong", message });
