import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type ElastiService, elastiServiceCrd, FINALIZER, privateServiceName, resolverSliceName } from "@elasti/api";
import {
  createKubeClient,
  type KubeClient,
  type KubeObject,
  loadCluster,
  type Pod,
  resources,
  type Service,
} from "@elasti/kube";
import { sampleAppManifests } from "@elasti/local";
import { restore } from "../../packages/cli/src/restore/restore.ts";
import { Traffic } from "../e2e/client.ts";
import { Sleeper } from "../e2e/sleeper.ts";
import { OPERATOR, startWorld, type World } from "../e2e/world.ts";
import { withSources } from "./elasti.ts";
import {
  define,
  otherDefinition,
  otherNamespace,
  otherOperator,
  otherQueue,
  otherResolver,
  otherService,
  otherSlice,
  stopOtherOperator,
} from "./kubeelasti.ts";

/** docs/migration.md, step by step, over what KubeElasti leaves. */
describe("from KubeElasti and back", () => {
  let client: KubeClient;
  let world: World | undefined;
  const services: Record<"asleep" | "awake", Service | undefined> = { asleep: undefined, awake: undefined };
  let resolver: Pod | undefined;
  let specs: ElastiService["spec"][] = [];

  before(async () => {
    const kubeconfigPath = process.env.ELASTI_TEST_KUBECONFIG;
    client = createKubeClient({ cluster: await loadCluster({ kubeconfigPath }) });
    await define(client, otherDefinition());
    await client.create(resources.namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: otherNamespace },
    });
    await client.create(resources.deployments, otherOperator());
    for (const name of ["asleep", "awake"] as const) {
      const app = sampleAppManifests({ name, replicas: name === "awake" ? 1 : 0, terminationGracePeriodSeconds: 2 });
      await client.create(resources.deployments, withSources(app.deployment));
      services[name] = await client.create<Service>(resources.services, app.service);
    }
    await otherService(client, services.awake!, "serve");
    const own = await otherService(client, services.asleep!, "proxy");
    await client.create(resources.deployments, otherResolver(own.spec.clusterIP ?? ""));
    specs = await Promise.all(["asleep", "awake"].map(async (name) => (await get(name)).spec));
    world = await startWorld({ operators: 1, resolvers: 1 });
    const isUp = (pod: Pod) =>
      pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
    resolver = await world.until<Pod, Pod>(
      "ready",
      resources.pods,
      otherNamespace,
      (await podsOf("elasti-resolver"))[0]?.metadata.name ?? "",
      (pod) => pod !== undefined && isUp(pod) && pod,
    );
    await otherSlice(client, services.asleep!, resolver);
  });
  after(async () => {
    await client?.delete(resources.namespaces, undefined, otherNamespace).catch(() => {});
    await world?.close();
    // nothing of a Helm release that others would meet
    await define(client, elastiServiceCrd() as unknown as KubeObject);
    await client.close();
  });

  const get = (name: string) => client.get<ElastiService & KubeObject>(resources.elastiServices, "default", name);
  const podsOf = async (app: string) =>
    (await client.list<Pod>(resources.pods, { namespace: otherNamespace, labelSelector: `app=${app}` })).items;

  it("leaves all to it while it runs, then takes over and goes back, and loses no request", async () => {
    const asleep = new Sleeper(world!, services.asleep!);
    const awake = new Sleeper(world!, services.awake!);
    const both = [asleep, awake];

    const passive = (es: ElastiService | undefined) =>
      es?.status?.conditions?.some(({ type, reason }) => type === "Ready" && reason === "OtherOperator");
    for (const { name } of both) await world!.until("left alone", resources.elastiServices, "default", name, passive);
    assert.equal((await get("asleep")).status?.phase, undefined);
    const slice = await asleep.slices();
    assert.deepEqual(
      slice.ours?.ports.map(({ port }) => port),
      [8012],
    );

    await asleep.world.backends(asleep, (ports) => ports.includes(8012));
    const traffic = both.map((web) => new Traffic(() => web.ask(), 100));
    await otherQueue(resolver!, true);
    // what its resolver holds nobody hears of any more
    await stopOtherOperator(client);
    for (const web of both) {
      await web.reaches("Serving");
      await web.direct();
    }
    await otherQueue(resolver!, false);
    // all of it but the definition
    await client.delete(resources.namespaces, undefined, otherNamespace);
    for (const one of await Promise.all(traffic.map((one) => one.stop()))) {
      assert.deepEqual(one.failures, []);
      assert.ok(one.answers.length > 0);
    }
    assert.equal(await asleep.replicas(), 1);
    assert.equal(await world!.get(resources.endpointSlices, "default", resolverSliceName("asleep")), undefined);

    // nodes of this cluster follow at once; KubeElasti's definition does not know the field, and drops it
    const spec = { routing: { graceSeconds: 1 } };
    for (const { name } of both) await client.patch(resources.elastiServices, "default", name, "merge", { spec });
    const back = both.map((web) => new Traffic(() => web.ask(), 100));
    const args = ["--kubeconfig", world!.ground.kubeconfig, "--operator-namespace", world!.system];
    let said = "";
    const hear = (text: string) => {
      said += text;
    };
    const place = { env: {}, write: hear, writeError: hear, signal: new AbortController().signal };
    assert.equal(await restore([...args, `--stop-operator=${OPERATOR}`], place), 0, said);
    for (const one of await Promise.all(back.map((one) => one.stop()))) {
      assert.deepEqual(one.failures, []);
      assert.ok(one.answers.length > 0);
    }
    await define(client, otherDefinition());
    for (const [index, web] of both.entries()) {
      const es = await get(web.name);
      assert.deepEqual(es.spec, specs[index]);
      assert.equal(es.metadata.finalizers?.includes(FINALIZER) ?? false, false);
      assert.deepEqual((await web.publicService()).spec, web.service.spec);
      assert.equal((await web.slices()).ours, undefined);
      assert.equal(await world!.get(resources.services, "default", privateServiceName(web.name)), undefined);
    }
  });
});
