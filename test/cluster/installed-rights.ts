import { type AuditCall, callsAmong } from "./audit-log.ts";
import { documents, type Values, withValues } from "./chart.ts";
import { auditedNamespaces } from "./control-plane.ts";
import { compare, grantsOf } from "./granted.ts";
import { chartFolder, Helm } from "./helm.ts";
import { installedValues } from "./installed.ts";
import { policyValues } from "./policy-values.ts";

/** Where releases with rights for the whole cluster are: one that is upgraded and taken away, those under test/e2e, and one with policies. */
const [lifecycle, , installed, policies] = auditedNamespaces;
const releases: readonly { readonly namespace: string; readonly values: Values }[] = [
  { namespace: lifecycle, values: installedValues },
  { namespace: installed, values: installedValues },
  { namespace: policies, values: policyValues },
];

/** Granted, and used by no suite or by chance; each with the reason. */
const exceptionsOfAll: Readonly<Record<string, string>> = {
  "get statefulsets.apps": "read when somebody else raises it from zero, to name him",
  "get statefulsets/scale.apps": "read when a write lost against another",
  "get scaledobjects.keda.sh": "read when a write lost against another",
  "update services": "used on a private Service that somebody edited, or that KubeElasti left",
  "list events": "used when a pod fits on no node",
  "watch events": "used when a pod does not start",
  "update elastiservices/finalizers.elasti.truefoundry.com": "asked for only where owner references are checked",
  "update services/finalizers": "asked for only where owner references are checked",
  "create endpointslices/restricted.discovery.k8s.io": "asked for on OpenShift only",
  "get fleets.example.com": "read when somebody else raises it from zero, to name him",
  "get fleets/scale.example.com": "no object of this kind is woken by an installation",
  "patch fleets/scale.example.com": "no object of this kind is woken by an installation",
  "get rollouts.argoproj.io": "Argo Rollouts is not installed",
  "list rollouts.argoproj.io": "Argo Rollouts is not installed",
  "watch rollouts.argoproj.io": "Argo Rollouts is not installed",
  "get rollouts/scale.argoproj.io": "Argo Rollouts is not installed",
  "patch rollouts/scale.argoproj.io": "Argo Rollouts is not installed",
};

/** The same where only the core of the suites runs on installations. */
const exceptionsOfCore: Readonly<Record<string, string>> = {
  ...exceptionsOfAll,
  "get services": "used in the suite reapply",
  "get deployments.apps": "used in the suite reapply",
  "list scaledobjects.keda.sh": "used in the suite keda",
  "watch scaledobjects.keda.sh": "used in the suite keda",
  "patch scaledobjects.keda.sh": "used in the suite keda",
  "list fleets.example.com": "used in the suite bad-input",
  "watch fleets.example.com": "used in the suite bad-input",
};

/** Asked for, and refused; each with the reason. */
const mayBeRefused: Readonly<Record<string, string>> = {
  "elasti-restore: list deployments.apps":
    "it looks for KubeElasti's operator everywhere, and sees none where its rights are for some namespaces",
};

export interface Judgement {
  /** The counts, in one line. */
  readonly line: string;
  /** Calls that were refused, and grants that nobody used; each with its account. */
  readonly problems: readonly string[];
}

/** Compares what installations by the chart did in a run of the suites with what the chart grants to them. */
export class InstalledRights {
  readonly #helm: Helm;
  /** One of each kind of call. */
  readonly #calls = new Map<string, AuditCall>();
  #count = 0;

  /** @param helm path of the program */
  constructor(helm: string) {
    this.#helm = new Helm(helm);
  }

  /** Reads the audit log of a cluster that goes. */
  async add(log: string): Promise<void> {
    const marks = releases.map(({ namespace }) => `system:serviceaccount:${namespace}:`);
    for await (const call of callsAmong(log, marks)) {
      this.#count += 1;
      const { user, verb, group, resource, namespace, refused } = call;
      this.#calls.set([user, verb, group, resource, namespace, refused].join(" "), call);
    }
  }

  /** @param ran which suites; what some did not use others may */
  async judge(ran: "some" | "core" | "all"): Promise<Judgement> {
    const results = await Promise.all(releases.map(({ namespace, values }) => this.#compare(namespace, values)));
    const used = new Set(results.flatMap((result) => result.used));
    const unused = [...new Set(results.flatMap((result) => result.unused))].filter((grant) => !used.has(grant));
    const refused = [...new Set(results.flatMap((result) => result.refused))].filter(
      (call) => mayBeRefused[call] === undefined,
    );
    const exceptions = ran === "all" ? exceptionsOfAll : exceptionsOfCore;
    const undocumented = unused.filter((grant) => exceptions[grant.replace(/^[^ ]+ /, "")] === undefined);
    const counts = [
      `${used.size + unused.length} grants`,
      `${used.size} used`,
      `${unused.length - undocumented.length} unused as documented`,
      `${undocumented.length} unused`,
      `${refused.length} missing`,
    ];
    return {
      line: `installed by the chart: ${counts.join(", ")}; ${this.#count} calls`,
      problems: [
        ...refused.map((call) => `refused: ${call}`),
        ...(ran !== "some" ? undocumented.map((grant) => `not used: ${grant}`) : []),
      ],
    };
  }

  async #compare(namespace: string, values: Values): Promise<ReturnType<typeof compare>> {
    const render = (files: string[]) =>
      this.#helm.run("template", "elasti", chartFolder, `--namespace=${namespace}`, ...files);
    const objects = documents(await withValues([values], render));
    // the hook has the roles of the operator, too
    const own = grantsOf(objects).filter(
      ({ account, role }) => account !== "elasti-restore" || role === "elasti-restore",
    );
    return compare([...this.#calls.values()], own, namespace);
  }
}
