import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { elastiServiceCrd } from "@elasti/api";
import { isAlreadyExists, type KubeObject, resources } from "@elasti/kube";
import { parse } from "yaml";
import { type Any, type Contract, on } from "./server.ts";

const file = join(import.meta.dirname, "..", "..", "deploy", "crd", "elastiservices.yaml");

/** Applies deploy/crd as it is; it stays, others may use it. */
async function withDefinition({ client, send, signal }: Contract): Promise<KubeObject> {
  const crd = parse(await readFile(file, "utf8")) as KubeObject;
  const { name } = crd.metadata;
  try {
    await client.create(resources.customResourceDefinitions, crd);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const { metadata } = await client.get(resources.customResourceDefinitions, undefined, name);
    const { resourceVersion } = metadata;
    await client.replace(resources.customResourceDefinitions, {
      ...crd,
      metadata: { ...crd.metadata, resourceVersion: resourceVersion! },
    });
  }
  // established and served are two things
  for (let code = 0; code !== 200; ) {
    signal.throwIfAborted();
    code = (await send("GET", "/apis/elasti.truefoundry.com/v1alpha1/elastiservices")).code;
  }
  return crd;
}

const target = { apiVersion: "apps/v1", kind: "deployments", name: "httpbin" };

/** As KubeElasti's users wrote them. */
const manifests: Record<string, object> = {
  least: { service: "httpbin", scaleTargetRef: target, minTargetReplicas: 1 },
  prometheus: {
    minTargetReplicas: 1,
    service: "httpbin",
    cooldownPeriod: 5,
    scaleTargetRef: target,
    triggers: [
      {
        type: "prometheus",
        metadata: {
          query: "sum(rate(nginx_ingress_controller_nginx_process_requests_total[1m])) or vector(0)",
          serverAddress: "http://prometheus.monitoring:9090",
          threshold: "0.5",
          uptimeFilter: 'container="prometheus"',
          headers: { Authorization: "Bearer abc" },
        },
      },
    ],
  },
  keda: {
    service: "httpbin",
    minTargetReplicas: 2,
    cooldownPeriod: 900,
    scaleTargetRef: { apiVersion: "argoproj.io/v1alpha1", kind: "Rollout", name: "httpbin" },
    triggers: [
      { type: "prometheus", metadata: { query: "vector(1)", serverAddress: "http://p:9090", threshold: "0.01" } },
    ],
    autoscaler: { name: "httpbin-scaledobject", type: "keda" },
  },
  period: {
    service: "httpbin",
    minTargetReplicas: 1,
    scaleTargetRef: target,
    enabledPeriod: { schedule: "0 9 * * 1-5", duration: "8h" },
    probeResponse: [
      {
        path: { type: "Exact", value: "/healthz" },
        method: "GET",
        headers: [{ name: "User-Agent", type: "RegularExpression", value: ".*kube-probe.*" }],
        response: { status: 200, body: "ok" },
      },
    ],
  },
};

const elastiService = (namespace: string, name: string, spec: object): KubeObject =>
  ({
    apiVersion: "elasti.truefoundry.com/v1alpha1",
    kind: "ElastiService",
    metadata: { name, namespace },
    spec,
  }) as KubeObject;

on("both", "the definition in deploy/crd is the one of the schema, and is taken whole", async (contract) => {
  const crd = await withDefinition(contract);
  const made = elastiServiceCrd();
  assert.deepEqual(JSON.parse(JSON.stringify(crd)), JSON.parse(JSON.stringify(made)));
  const { client } = contract;
  const stored = await client.get<Any>(resources.customResourceDefinitions, undefined, crd.metadata.name);
  const [version] = stored.spec.versions as { schema: object; additionalPrinterColumns: object[] }[];
  const [wanted] = (made as unknown as Any).spec.versions as { schema: object; additionalPrinterColumns: object[] }[];
  // nothing of the schema was dropped on the way
  assert.deepEqual(version?.schema, wanted?.schema);
  assert.deepEqual(version?.additionalPrinterColumns, wanted?.additionalPrinterColumns);
  const conditions = stored.status.conditions as { type: string; status: string; message: string }[];
  assert.deepEqual(
    conditions.filter(({ type }) => type === "NonStructuralSchema"),
    [],
  );
});

on("both", "KubeElasti's manifests are accepted under strict validation, and get their defaults", async (contract) => {
  await withDefinition(contract);
  const { namespace, send } = contract;
  const path = `/apis/elasti.truefoundry.com/v1alpha1/namespaces/${namespace}/elastiservices`;
  for (const [name, spec] of Object.entries(manifests)) {
    const { code, body, text } = await send(
      "POST",
      `${path}?fieldValidation=Strict`,
      elastiService(namespace, name, spec),
    );
    assert.equal(code, 201, text);
    // defaults are added, and nothing is lost
    assert.partialDeepStrictEqual(body.spec, spec);
  }
  const { body } = await send("GET", `${path}/least`);
  assert.deepEqual(body.spec, { ...manifests.least, cooldownPeriod: 900 });
});

on("both", "a bad manifest is refused with the field", async (contract) => {
  await withDefinition(contract);
  const { client, namespace } = contract;
  const refused = async (spec: object, message: RegExp) => {
    const object = elastiService(namespace, "bad", { ...manifests.least, ...spec });
    await assert.rejects(client.create(resources.elastiServices, object), { code: "ELASTI_KUBE_INVALID", message });
  };
  await refused({ minTargetReplicas: 0 }, /spec\.minTargetReplicas: Invalid value: 0: .*greater than or equal to 1/);
  await refused({ service: undefined }, /spec\.service: Required value/);
  await refused(
    { cooldownPeriod: 604_801 },
    /spec\.cooldownPeriod: Invalid value: 604801: .*less than or equal to 604800/,
  );
  await refused(
    { scaleTargetRef: { kind: "Deployment", name: "x" } },
    /spec\.scaleTargetRef\.apiVersion: Required value/,
  );
  await refused({ triggers: [{ type: "nonsense" }] }, /spec\.triggers\[0\]\.type: Unsupported value: "nonsense"/);
  await refused(
    { probeResponse: [{ response: { status: 418 } }] },
    /spec\.probeResponse\[0\]\.response\.status: Unsupported value: 418/,
  );
  await refused({ autoscaler: { type: "vpa", name: "x" } }, /spec\.autoscaler\.type: Unsupported value: "vpa"/);
});

on("both", "the operator's writes: a finalizer, and a status on condition of its version", async (contract) => {
  await withDefinition(contract);
  const { client, namespace } = contract;
  const resource = resources.elastiServices;
  const made = await client.create(resource, elastiService(namespace, "web", manifests.least!));
  const finalizers = ["elasti.truefoundry.com/finalizer"];
  const { resourceVersion } = made.metadata;
  const held = await client.patch(resource, namespace, "web", "merge", { metadata: { resourceVersion, finalizers } });
  assert.equal(held.metadata.generation, made.metadata.generation);
  const status = (version: string | undefined, phase: string, epoch: number) =>
    client.patch<Any>(
      resource,
      namespace,
      "web",
      "merge",
      { metadata: { resourceVersion: version }, status: { phase, epoch } },
      { subresource: "status" },
    );
  const first = await status(held.metadata.resourceVersion, "Serving", 1);
  assert.deepEqual([first.status.phase, first.status.epoch], ["Serving", 1]);
  assert.equal(first.metadata.generation, made.metadata.generation);
  await assert.rejects(status(held.metadata.resourceVersion, "Draining", 2), { code: "ELASTI_KUBE_CONFLICT" });
  await assert.rejects(status(first.metadata.resourceVersion, "Nonsense", 2), {
    code: "ELASTI_KUBE_INVALID",
    message: /status\.phase: Unsupported value: "Nonsense"/,
  });
  await client.delete(resource, namespace, "web");
  const going = await client.get(resource, namespace, "web");
  assert.notEqual(going.metadata.deletionTimestamp, undefined);
  await client.patch(resource, namespace, "web", "merge", { metadata: { finalizers: null } });
  await assert.rejects(client.get(resource, namespace, "web"), { code: "ELASTI_KUBE_NOT_FOUND" });
});
