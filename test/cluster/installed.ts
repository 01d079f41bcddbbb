import { operatorSettings } from "@elasti/operator";
import { settings as resolverSettings } from "@elasti/resolver";
import { offeredSettings } from "../../packages/cli/src/chart/program-settings.ts";
import { OPERATOR, RESOLVER } from "../e2e/world.ts";
import { namespaceGone, Release, restricted, type Values } from "./chart.ts";
import { auditedNamespaces } from "./control-plane.ts";

type Component = typeof OPERATOR | typeof RESOLVER;
type Environment = Readonly<Record<string, string>>;

/** What a suite asks of the two programs, in the words that processes are told it. */
export interface Wanted {
  readonly replicas: Readonly<Record<Component, number>>;
  readonly env: Readonly<Record<Component, Environment>>;
}

/** Of installations under the suites of test/e2e: one after another on each cluster. */
export const installedNamespace = auditedNamespaces[2];

const tables = { [OPERATOR]: operatorSettings, [RESOLVER]: resolverSettings };
const groups = { [OPERATOR]: "operator", [RESOLVER]: "resolver" } as const;

/** Variables that the chart has a value of its own for. */
const own: Readonly<Record<string, (text: string) => Values>> = {
  PROMETHEUS_TRIGGER_SERVER_ADDRESS: (serverAddress) => ({ prometheus: { serverAddress } }),
  PROMETHEUS_TRIGGER_AUTHORIZATION_HEADER: (authorizationHeader) => ({ prometheus: { authorizationHeader } }),
  WATCH_NAMESPACES: (text) => ({ watchNamespaces: text.split(",") }),
  KUBERNETES_CLUSTER_DOMAIN: (clusterDomain) => ({ clusterDomain }),
};

/** What every suite gets: rights for the kinds that suites bring along, and as much of a busy node as the pods of tests have. */
export const installedValues: Values = {
  operator: { resources: { requests: { cpu: "100m" } } },
  scaleTargets: [
    { apiGroup: "apps", resource: "deployments" },
    { apiGroup: "apps", resource: "statefulsets" },
    { apiGroup: "argoproj.io", resource: "rollouts" },
    { apiGroup: "example.com", resource: "fleets" },
  ],
};

/** The installation by the chart that is what a suite asks for. @throws an Error for what the chart has no value for */
export class Installed extends Release {
  constructor(wanted: Wanted) {
    super({ namespace: installedNamespace, labels: restricted, values: [installedValues, ...valuesOf(wanted)] });
  }

  override async install(): Promise<void> {
    // of the suite before
    await namespaceGone(this.namespace);
    await super.install();
  }
}

function valuesOf({ replicas, env }: Wanted): Values[] {
  return ([OPERATOR, RESOLVER] as const).flatMap((component) => [
    { [groups[component]]: { replicas: replicas[component] } },
    ...Object.entries(env[component]).map(([name, text]) => own[name]?.(text) ?? settingOf(component, name, text)),
  ]);
}

function settingOf(component: Component, env: string, text: string): Values {
  const [name, setting] = Object.entries(offeredSettings(tables[component])).find(([, one]) => one.env === env) ?? [];
  if (name === undefined || setting === undefined) throw new Error(`the chart has no value for ${env}`);
  const { type } = setting.schema;
  const as = { integer: Number, boolean: (word: string) => word === "true", array: (list: string) => list.split(",") };
  return { [groups[component]]: { settings: { [name]: type in as ? as[type as keyof typeof as](text) : text } } };
}
