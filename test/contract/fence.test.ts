import assert from "node:assert/strict";
import {
  type Deployment,
  fencePrefix,
  type KubeObject,
  resources,
  ScaleClient,
  type ScaleReference,
  type ScaleState,
} from "@elasti/kube";
import { ScaleHandler } from "@elasti/scaling";
import { deployment, install, scalable, statefulSet, statefulSets } from "./objects.ts";
import { type Any, type Contract, on } from "./server.ts";

/** Makes a target of each kind with some replicas. */
const targets: Record<string, (contract: Contract, replicas: number) => Promise<ScaleReference>> = {
  "a Deployment": async ({ client, namespace }, replicas) => {
    await client.create<Deployment>(resources.deployments, deployment(namespace, "web", replicas));
    return { resource: resources.deployments, namespace, name: "web" };
  },
  "a StatefulSet": async ({ client, namespace }, replicas) => {
    await client.create(statefulSets, statefulSet(namespace, "web", replicas));
    return { resource: statefulSets, namespace, name: "web" };
  },
  "a custom resource": async (contract, replicas) => {
    const { client, namespace } = contract;
    const widgets = scalable(namespace);
    await install(contract, widgets);
    const { apiVersion, resource } = widgets;
    const widget = { apiVersion, kind: resource.kind, metadata: { name: "web", namespace }, spec: { replicas } };
    await client.create(resource, widget as KubeObject, { fieldManager: "user" });
    return { resource, namespace, name: "web" };
  },
};

const wanted = async ({ client }: Contract, { resource, namespace, name }: ScaleReference): Promise<unknown> =>
  (await client.get<Any>(resource, namespace, name)).spec.replicas;

for (const [kind, make] of Object.entries(targets)) {
  on(
    "both",
    `${kind}: a scale is read, raised and set to zero on condition of its resourceVersion`,
    async (contract) => {
      const scale = new ScaleClient(contract.client);
      const target = await make(contract, 0);
      const asleep = await scale.getScale(target);
      assert.equal(asleep.replicas, 0);
      const { metadata } = await contract.client.get<Any>(target.resource, target.namespace, target.name);
      assert.equal(asleep.uid, metadata.uid);
      const awake = await raised(scale, target, 2);
      assert.equal(awake.replicas, 2);
      assert.equal(await wanted(contract, target), 2);
      await assert.rejects(scale.setScale({ ...target, replicas: 0, resourceVersion: asleep.resourceVersion }), {
        code: "ELASTI_KUBE_CONFLICT",
      });
      assert.equal(await wanted(contract, target), 2);
      const zero = await raised(scale, target, 0);
      assert.equal(zero.replicas, 0);
      assert.equal(await wanted(contract, target), 0);
    },
  );

  on(
    "both",
    `${kind}: an apply of the same replicas moves the resourceVersion under a manager that does not own them`,
    async (contract) => {
      const scale = new ScaleClient(contract.client);
      const target = await make(contract, 2);
      let epoch = 0;
      await undisturbed(contract, target, async (before) => {
        epoch += 1;
        const fence = { ...target, replicas: 2, epoch };
        const first = await scale.fenceScale({ ...fence, resourceVersion: before.resourceVersion });
        assert.notEqual(first.resourceVersion, before.resourceVersion);
        assert.equal(first.replicas, 2);
        const again = await scale.fenceScale({ ...fence, resourceVersion: first.resourceVersion });
        // whether this one moves it depends on what other managers' entries become; the answer says which
        assert.equal(again.resourceVersion, (await scale.getScale(target)).resourceVersion);
        const other = await scale.fenceScale({ ...fence, again: true, resourceVersion: again.resourceVersion });
        assert.notEqual(other.resourceVersion, again.resourceVersion);
        // of a custom resource the real server may say 500 before it looks at the precondition
        await assert.rejects(scale.fenceScale({ ...fence, resourceVersion: before.resourceVersion }), {
          code: /ELASTI_KUBE_(CONFLICT|UNAVAILABLE)/,
        });
        for (const { resourceVersion } of [before, first]) {
          await assert.rejects(scale.setScale({ ...target, replicas: 0, resourceVersion }), {
            code: "ELASTI_KUBE_CONFLICT",
          });
        }
      });
      assert.equal(await wanted(contract, target), 2);
    },
  );

  on("both", `${kind}: a zero leaves no owner of replicas behind`, async (contract) => {
    const scale = new ScaleClient(contract.client);
    const target = await make(contract, 2);
    await undisturbed(contract, target, async ({ resourceVersion }) => {
      await scale.fenceScale({ ...target, replicas: 2, epoch: 1, resourceVersion });
    });
    assert.deepEqual(await fences(contract, target), [`${fencePrefix}1`]);
    await raised(scale, target, 0);
    assert.deepEqual(await fences(contract, target), []);
    await raised(scale, target, 2);
    const { metadata } = await contract.client.get<Any>(target.resource, target.namespace, target.name);
    const owners = (metadata.managedFields ?? []).filter(({ subresource }) => subresource !== "status");
    assert.ok(!JSON.stringify(owners).includes("f:replicas"), JSON.stringify(owners));
  });

  on(
    "both",
    `${kind}: every fence moves the resourceVersion, whatever came before, and names stay few`,
    async (contract) => {
      const handler = new ScaleHandler({ client: new ScaleClient(contract.client) });
      contract.cleanup(() => handler.close());
      const target = await make(contract, 2);
      const scale = new ScaleClient(contract.client);
      let epoch = 0;
      const fenced = async (replicas: number, landed: boolean) => {
        const { resourceVersion } = await scale.getScale(target);
        epoch += 1;
        const fence = await handler.fence({ ref: target, epoch, replicas: 2 });
        assert.deepEqual([fence.replicas, fence.landed], [replicas, landed]);
        await assert.rejects(scale.setScale({ ...target, replicas: 0, resourceVersion }), {
          code: "ELASTI_KUBE_CONFLICT",
        });
        assert.equal(await wanted(contract, target), replicas);
        assert.ok((await fences(contract, target)).length <= 16);
      };
      await fenced(2, false);
      for (let round = 0; round < 2; round += 1) {
        // a zero that came first: the fence is the wake
        await raised(scale, target, 0);
        await fenced(2, true);
        await fenced(2, false);
        // slept and woken: nobody owns the replicas now
        await raised(scale, target, 0);
        await raised(scale, target, 3);
        await fenced(3, false);
      }
      while (epoch < 30) await fenced(3, false);
    },
  );
}

for (const [kind, make] of Object.entries(targets).filter(([name]) => name !== "a custom resource")) {
  on("both", `${kind}: an apply changes replicas too, also after a zero`, async (contract) => {
    const target = await make(contract, 0);
    const { client } = contract;
    await apply(contract, target, 2, "a");
    assert.equal(await wanted(contract, target), 2);
    await apply(contract, target, 3, "b");
    assert.equal(await wanted(contract, target), 3);
    const { metadata } = await client.get<Any>(target.resource, target.namespace, target.name);
    const owners = (metadata.managedFields ?? []).filter(({ fieldsV1 }) =>
      JSON.stringify(fieldsV1).includes("f:replicas"),
    );
    assert.deepEqual(
      owners.filter(({ subresource }) => subresource === "scale").map(({ manager }) => manager),
      ["b"],
    );
  });
}

on(
  "both",
  "a custom resource: an apply that changes replicas is refused, and any while nobody owns them",
  async (contract) => {
    const target = await targets["a custom resource"]!(contract, 2);
    const message = /request to convert CR to an invalid group\/version: autoscaling\/v1/;
    const refused = { code: "ELASTI_KUBE_UNAVAILABLE", message };
    await assert.rejects(apply(contract, target, 3, "a"), refused);
    const scale = new ScaleClient(contract.client);
    await raised(scale, target, 0);
    await assert.rejects(apply(contract, target, 1, "a"), refused);
    await raised(scale, target, 2);
    await assert.rejects(apply(contract, target, 2, "a"), refused);
    assert.equal(await wanted(contract, target), 2);
    // whoever writes the object itself owns them again
    const { resource, namespace, name } = target;
    await contract.client.patch(
      resource,
      namespace,
      name,
      "merge",
      { spec: { replicas: 4 } },
      { fieldManager: "user" },
    );
    await apply(contract, target, 4, "a");
  },
);

function apply({ client }: Contract, { resource, namespace, name }: ScaleReference, replicas: number, manager: string) {
  const body = { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name }, spec: { replicas } };
  const options = { subresource: "scale", fieldManager: manager, force: true };
  return client.patch(resource, namespace, name, "apply", body, options);
}

/** Sets the replicas, whatever the target's controller writes in between. */
async function raised(scale: ScaleClient, target: ScaleReference, replicas: number) {
  for (;;) {
    const { resourceVersion } = await scale.getScale(target);
    try {
      return await scale.setScale({ ...target, replicas, resourceVersion });
    } catch (error) {
      if ((error as { code?: string }).code !== "ELASTI_KUBE_CONFLICT") throw error;
    }
  }
}

/**
 * Runs the steps on a scale that nobody else writes meanwhile: when the target's controller did, which its status tells, they
 * are run again.
 */
async function undisturbed(contract: Contract, target: ScaleReference, steps: (before: ScaleState) => Promise<void>) {
  const { resource, namespace, name } = target;
  const status = async () => {
    const { metadata, status: now } = await contract.client.get<Any>(resource, namespace, name);
    return JSON.stringify([metadata.generation, metadata.annotations, now]);
  };
  for (let tries = 0; ; tries += 1) {
    const before = await status();
    const outcome = await steps(await new ScaleClient(contract.client).getScale(target)).catch(
      (error: unknown) => error,
    );
    if (before === (await status())) {
      if (outcome !== undefined) throw outcome;
      return;
    }
    assert.ok(tries < 100, "the target's controller does not come to rest");
  }
}

/** Managers of fences that own something of the target. */
async function fences({ client }: Contract, { resource, namespace, name }: ScaleReference): Promise<string[]> {
  const { metadata } = await client.get<Any>(resource, namespace, name);
  const managers = (metadata.managedFields ?? []).map(({ manager = "" }) => manager);
  return managers.filter((manager) => manager.startsWith(fencePrefix));
}
