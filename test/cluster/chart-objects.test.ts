import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createKubeClient, type KubeClient, type KubeObject, loadCluster, resources } from "@elasti/kube";
import { parse, stringify } from "yaml";
import { createNamespace, documents, removeDefinition, type Values, withValues } from "./chart.ts";
import { stateOf } from "./cluster.ts";
import { grantsOf } from "./granted.ts";
import { chartFolder, Helm } from "./helm.ts";
import { Places, repository } from "./places.ts";
import { run } from "./shell.ts";

const kubeconfig = process.env.ELASTI_TEST_KUBECONFIG ?? "";
const helm = new Helm(process.env.ELASTI_TEST_HELM ?? "helm", kubeconfig);
const namespace = "chart-objects";
/** Those that a documented set of values names, too. */
const namespaces = [namespace, "shop", "staging"];
const fixtures = join(repository, "test", "fixtures", "prometheus-operator");
const definitions = globSync("*.yaml", { cwd: fixtures }).map((file) => join(fixtures, file));

/** Everything that the chart makes only when it is asked to. */
const everything: Values = {
  resolver: { autoscaling: { enabled: true, targetCPUUtilizationPercentage: 60, targetHolds: 500 } },
  networkPolicy: {
    enabled: true,
    clients: [{ podSelector: {} }],
    metrics: [{ podSelector: {} }],
    policyApi: [{ namespaceSelector: { matchLabels: { team: "ci" } } }],
    egress: [{}],
  },
  scaling: {
    enabled: true,
    database: { existingSecret: "policies" },
    overridableWorkloads: ["deployments", "rollouts"],
  },
  monitoring: { dashboard: { enabled: true } },
};

/** What the chart makes, before the eyes of a real API server that knows the Prometheus operator's kinds. */
describe("what the chart makes", () => {
  const places = new Places(process.env.ELASTI_TEST_NODE ?? "");
  let client: KubeClient;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "elasti-objects-"));
    client = createKubeClient({ cluster: await loadCluster({ kubeconfigPath: kubeconfig }) });
    for (const name of namespaces) await createNamespace(name);
    await kubectl("create", ...definitions.map((file) => `--filename=${file}`));
    await kubectl(
      "wait",
      "--for=condition=Established",
      "--timeout=30s",
      ...definitions.map((file) => `--filename=${file}`),
    );
  });
  after(async () => {
    for (const file of definitions)
      await removeDefinition((parse(await readFile(file, "utf8")) as KubeObject).metadata.name);
    for (const name of namespaces) await client.delete(resources.namespaces, undefined, name).catch(() => {});
    await client.close();
    await rm(folder, { recursive: true, force: true });
  });

  const kubectl = (...args: string[]): Promise<string> =>
    run(join(stateOf(places.name)?.binaries ?? "", "kubectl"), `--kubeconfig=${kubeconfig}`, ...args);

  /** Templates as this cluster makes the chart write them. */
  const render = async (values: Values): Promise<KubeObject[]> =>
    documents(
      await withValues([values], (files) =>
        helm.run("template", "elasti", chartFolder, "--validate", `--namespace=${namespace}`, ...files),
      ),
    );

  /** The API server checks every field, admits, and stores nothing. @returns what it said, a line an object */
  async function accepted(objects: readonly KubeObject[]): Promise<string[]> {
    const file = join(folder, "objects.yaml");
    await writeFile(file, objects.map((object) => stringify(object)).join("---\n"));
    const said = await kubectl("apply", "--dry-run=server", "--validate=strict", `--filename=${file}`);
    return said.trimEnd().split("\n");
  }

  it("is accepted with everything that is optional: autoscaler, monitors, alerts, dashboard, NetworkPolicies", async () => {
    const objects = await render(everything);
    const lines = await accepted(objects);
    for (const line of [
      "horizontalpodautoscaler.autoscaling/elasti-resolver",
      "podmonitor.monitoring.coreos.com/elasti-operator",
      "podmonitor.monitoring.coreos.com/elasti-resolver",
      "prometheusrule.monitoring.coreos.com/elasti",
      "configmap/elasti-dashboard",
      "networkpolicy.networking.k8s.io/elasti-operator",
      "networkpolicy.networking.k8s.io/elasti-resolver",
    ])
      assert.ok(lines.includes(`${line} created (server dry run)`), `${line} in\n${lines.join("\n")}`);
    assert.equal(lines.length, objects.length);
  });

  it("lets the hook put bounds back where policies move them, and write no HPA otherwise", async () => {
    const scaling = { enabled: true, database: { existingSecret: "policies" } };
    const bounds = /^(list|get|patch) (horizontalpodautoscalers\.autoscaling|scaledobjects\.keda\.sh)$/;
    const rights = async (values: Values): Promise<string[]> => {
      const own = grantsOf(await render(values)).filter(({ account }) => account === "elasti-restore");
      return [...new Set(own.map(({ what }) => what).filter((what) => bounds.test(what)))].sort();
    };
    const [hpas, scaledObjects] = ["horizontalpodautoscalers.autoscaling", "scaledobjects.keda.sh"];
    const keda = [`get ${scaledObjects}`, `list ${scaledObjects}`, `patch ${scaledObjects}`];
    const all = [`get ${hpas}`, `list ${hpas}`, `patch ${hpas}`, ...keda].sort();
    assert.deepEqual(await rights({}), [`list ${hpas}`, ...keda].sort());
    assert.deepEqual(await rights({ scaling }), all);
    assert.deepEqual(await rights({ scaling, watchNamespaces: ["shop"] }), all);
  });

  for (const example of globSync("examples/*.yaml", { cwd: chartFolder }).sort()) {
    it(`is accepted with ${example}`, async () => {
      const objects = await render(parse(await readFile(join(chartFolder, example), "utf8")) as Values);
      assert.equal((await accepted(objects)).length, objects.length);
    });
  }
});
