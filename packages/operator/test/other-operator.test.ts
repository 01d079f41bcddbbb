import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { privateServiceName } from "@elasti/api";
import { type Deployment, isNotFound, resources } from "@elasti/kube";
import { hasPods, isKubeElasti } from "../src/controller/other-operator.ts";
import { type Es, type OperatorWorld, startOperator } from "./kit/operator.ts";

const deployment = (name: string, container: object, replicas = 1): Deployment => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name, namespace: "kubeelasti", labels: { "control-plane": "controller-manager" } },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "manager", ...container }] } },
  },
});
const name = "elasti-operator-controller-manager";
const image = "tfy.jfrog.io/tfy-images/elasti-operator:0.1.30";

describe("KubeElasti's operator", () => {
  const polling = { command: ["/manager"], env: [{ name: "POLLING_INTERVAL", value: "30" }] };
  const cases: [what: string, found: boolean, deployment: Deployment][] = [
    ["is known by its name and its image", true, deployment(name, { image })],
    ["is known under another release's name", true, deployment("prod-operator-controller-manager", { image })],
    ["is known from a mirrored image", true, deployment(name, { image: "mirror/op:1", ...polling })],
    [
      "is not every controller manager",
      false,
      deployment("cert-operator-controller-manager", { image: "c:1", command: ["/manager"] }),
    ],
    ["is not ours", false, deployment("elasti-operator", { image: "elasti-operator:1" })],
  ];
  for (const [what, found, one] of cases) it(what, () => assert.equal(isKubeElasti(one), found));

  it("runs as long as it is to have pods, or still has some", () => {
    assert.equal(hasPods(deployment(name, {}, 1)), true);
    assert.equal(hasPods({ ...deployment(name, {}, 0), status: { replicas: 1 } }), true);
    assert.equal(hasPods({ ...deployment(name, {}, 0), status: {} }), false);
  });
});

describe("beside KubeElasti's operator", () => {
  let world: OperatorWorld;
  before(async () => {
    world = await startOperator();
  });
  after(() => world.close());

  const readyReason = ({ status }: Es) => status?.conditions?.find(({ type }) => type === "Ready")?.reason;

  it("touches nothing and says so, takes it up when the other has gone, and lets nothing sleep when it comes back", async () => {
    const { client } = world;
    await client.create(resources.namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "kubeelasti" },
    });
    await client.create(resources.deployments, deployment(name, { image }));
    await world.app("web");
    await world.elastiService("web");
    const left = await world.until("web", (es) => readyReason(es) === "OtherOperator");
    assert.equal(left.status?.phase, undefined);
    assert.equal(left.metadata.finalizers, undefined);
    assert.match(
      left.status?.conditions?.[0]?.message ?? "",
      /Deployment kubeelasti\/elasti-operator-controller-manager/,
    );
    await assert.rejects(client.get(resources.services, "default", privateServiceName("web")), isNotFound);
    assert.deepEqual(
      world.writes.filter((write) => write !== "patch elastiservices/status web"),
      [],
    );

    const scale = (replicas: number) =>
      client.patch(resources.deployments, "kubeelasti", name, "merge", { spec: { replicas } });
    await scale(0);
    const taken = await world.until("web", ({ status }) => status?.phase === "Serving");
    assert.ok((taken.metadata.finalizers ?? []).length > 0);
    await client.get(resources.services, "default", privateServiceName("web"));

    await scale(1);
    const awake = await world.until("web", ({ status }) =>
      (status?.conditions ?? []).some(({ type, reason }) => type === "Idle" && reason === "OtherOperator"),
    );
    assert.equal(awake.status?.phase, "Serving");
  });
});
