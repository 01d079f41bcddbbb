import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { elastiServiceCrd, PARK_KEY, paths, privateServiceName } from "@elasti/api";
import { type KubeObject, type KubeRequest, resources, type Service } from "@elasti/kube";
import { type Es, type OperatorWorld, startOperator } from "./kit/operator.ts";

const reasonOf = ({ status }: Es, type = "Ready"): string | undefined =>
  status?.conditions?.find((condition) => condition.type === type)?.reason;

const cannot = (verb: string, resource: string, group: string): string =>
  `${resource} is forbidden: User "operator" cannot ${verb} resource "${resource}" in API group "${group}" in the namespace "default"`;

describe("an operator that may not do everything", () => {
  let world: OperatorWorld;
  beforeEach(async () => {
    world = await startOperator();
  });
  afterEach(async () => {
    await world.close();
  });

  // what it writes around an ElastiService that is awake
  const rights: [verb: "create" | "update" | "patch", resource: string, group: string, subresource?: string][] = [
    ["create", "services", ""],
    ["create", "endpointslices", "discovery.k8s.io"],
    ["create", "configmaps", ""],
    ["patch", "services", ""],
    ["patch", "elastiservices", "elasti.truefoundry.com"],
  ];
  for (const [verb, resource, group] of rights) {
    it(`names the right to ${verb} ${resource}, and goes on once it has it`, async () => {
      // status stays writable: it is a right of its own
      const fits = (asked: KubeRequest): boolean =>
        asked.verb === verb && asked.resource?.plural === resource && asked.subresource === undefined;
      const denied = world.faults.fail(fits, 403, { message: cannot(verb, resource, group) });
      await world.app("web");
      await world.resolver();
      await world.elastiService("web");
      const failed = await world.until("web", (es) => reasonOf(es) === "PermissionMissing");
      const message = failed.status?.conditions?.find(({ type }) => type === "Ready")?.message ?? "";
      assert.ok(message.startsWith(`grant ${verb} on ${resource} in API group "${group}" to the operator: `), message);
      denied.remove();
      await world.until("web", (es) => reasonOf(es) === "Serving" && reasonOf(es, "RoutingSupported") === "Always");
      const { spec } = await world.client.get<Service>(resources.services, "default", "web");
      assert.equal(spec.selector?.[PARK_KEY], "true");
    });
  }

  it("wakes a service though nothing else of it may be written", async () => {
    await world.app("web", { replicas: 0 });
    await world.resolver();
    await world.elastiService("web");
    await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
    for (const resource of ["services", "endpointslices", "configmaps"])
      world.faults.fail({ verb: "create", resource }, 403, { message: cannot("create", resource, "") });
    world.faults.fail({ verb: "patch", resource: "services" }, 403, { message: cannot("patch", "services", "") });
    assert.equal((await world.notify("web")).status, 200);
    await world.until("web", ({ status }) => status?.phase === "Waking");
  });

  it("answers a notification with the right that is missing, and wakes by itself when it has it", async () => {
    await world.app("web", { replicas: 0 });
    await world.resolver();
    await world.elastiService("web");
    await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
    const message = cannot("patch", "deployments/scale", "apps");
    const denied = world.faults.fail({ verb: "patch", resource: "deployments" }, 403, { message });
    const refused = await world.notify("web");
    assert.equal(refused.status, 503);
    assert.match(await refused.text(), /not allowed to patch deployments\.apps\/scale default\/web/);
    denied.remove();
    assert.equal((await world.notify("web")).status, 200);
  });

  it("leaves one service to its failure and looks after the others", async () => {
    const name = privateServiceName("web");
    const message = cannot("create", "services", "");
    world.faults.fail({ verb: "create", resource: "services", name }, 403, { message });
    for (const each of ["web", "other"]) {
      await world.app(each);
      await world.elastiService(each);
    }
    await world.until("web", (es) => reasonOf(es) === "PermissionMissing");
    await world.until("other", (es) => reasonOf(es) === "Serving");
  });
});

describe("an operator on a cluster with an older CustomResourceDefinition", () => {
  it("says so, is not ready, writes no stream of statuses, and goes on when it is replaced", async () => {
    const world = await startOperator();
    try {
      const current = elastiServiceCrd() as unknown as CrdObject;
      const old = structuredClone(current);
      const { properties } = old.spec.versions[0]!.schema.openAPIV3Schema.properties.status!;
      // as KubeElasti has it
      for (const field of Object.keys(properties))
        if (field !== "mode" && field !== "lastReconciledTime") delete properties[field];
      await world.client.patch(resources.customResourceDefinitions, undefined, old.metadata.name, "json", [
        { op: "replace", path: "/spec/versions", value: old.spec.versions },
      ]);
      await world.app("web");
      await world.elastiService("web");
      const ready = () => fetch(`${world.url}${paths.ready}`);
      let answer = await ready();
      while (answer.status === 200) answer = await ready();
      assert.match(
        await answer.text(),
        /the API server drops status\.routes.* apply deploy\/crd\/elastiservices\.yaml/,
      );
      const before = world.writes.length;
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.ok(world.writes.length - before < 15, `${world.writes.length - before} writes`);
      await world.client.patch(resources.customResourceDefinitions, undefined, old.metadata.name, "json", [
        { op: "replace", path: "/spec/versions", value: current.spec.versions },
      ]);
      await world.until("web", (es) => reasonOf(es) === "Serving");
      assert.equal((await ready()).status, 200);
    } finally {
      await world.close();
    }
  });
});

interface CrdObject extends KubeObject {
  spec: {
    versions: {
      schema: { openAPIV3Schema: { properties: Record<string, { properties: Record<string, unknown> }> } };
    }[];
  };
}
