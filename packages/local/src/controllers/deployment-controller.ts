import { isDeepStrictEqual } from "node:util";
import type { Clock, Logger } from "@elasti/core";
import {
  type Deployment,
  isNotFound,
  type KubeClient,
  objectKey,
  type Pod,
  resources,
  type Store,
  WorkQueue,
} from "@elasti/kube";
import { deploymentStatus } from "./deployment-status.ts";
import { planRollout, TEMPLATE_HASH_LABEL, templateHash } from "./rollout.ts";
import { againWhenStale, workSettings } from "./work-settings.ts";

/** After this long a pod that was made but never seen by the watch is taken for gone. */
const FORGET_CREATED_MS = 60_000;

/** Makes and removes the pods of Deployments, which own them directly: ReplicaSets are left out. */
export class DeploymentController {
  readonly #options: {
    client: KubeClient;
    clock: Clock;
    logger: Logger;
    deployments: Store<Deployment>;
    pods: Store<Pod>;
  };
  readonly #work: WorkQueue;
  readonly #unsubscribe: (() => void)[] = [];
  /** Pods made here that the watch has not shown yet, by uid: without them a second look would make them twice. */
  readonly #created = new Map<string, { pod: Pod; at: number }>();
  /** Pods deleted here that the watch still shows as alive, by uid. */
  readonly #deleted = new Set<string>();

  constructor(options: {
    client: KubeClient;
    clock: Clock;
    logger: Logger;
    deployments: Store<Deployment>;
    pods: Store<Pod>;
  }) {
    this.#options = options;
    this.#work = new WorkQueue({ ...options, ...workSettings });
  }

  start(): void {
    const { deployments, pods } = this.#options;
    this.#work.start(againWhenStale((key) => this.#sync(key)));
    this.#unsubscribe.push(
      deployments.on("change", ({ object }) => this.#work.add(objectKey(object)), { replay: true }),
      pods.on("change", ({ type, object }) => {
        const uid = object.metadata.uid!;
        this.#created.delete(uid);
        if (type === "deleted") this.#deleted.delete(uid);
        const owner = ownerOf(object);
        if (owner !== undefined) this.#work.add(`${object.metadata.namespace}/${owner.name}`);
      }),
    );
  }

  async close(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    await this.#work.close();
  }

  async #sync(key: string): Promise<void> {
    const { client, deployments, clock } = this.#options;
    const deployment = deployments.getByKey(key);
    // the pods of a deleted Deployment go with their owner
    if (deployment === undefined || deployment.metadata.deletionTimestamp !== undefined) return;
    const hash = templateHash(deployment);
    const desired = deployment.spec.replicas ?? 1;
    const plan = planRollout(desired, hash, this.#livePods(deployment), deployment.spec.paused === true);
    const settled = await Promise.allSettled([
      ...Array.from({ length: plan.create }, () => this.#create(deployment, hash)),
      ...plan.remove.map((pod) => this.#remove(pod)),
    ]);
    const pods = this.#livePods(deployment);
    const status = deploymentStatus(deployment, hash, pods, clock.now());
    if (!isDeepStrictEqual(status, deployment.status)) {
      await client.replace(resources.deployments, { ...deployment, status }, { subresource: "status" });
    }
    for (const outcome of settled) if (outcome.status === "rejected") throw outcome.reason;
  }

  /** Its pods that neither have ended nor are being deleted, with what was done here and not yet seen. */
  #livePods(deployment: Deployment): Pod[] {
    const { pods, clock } = this.#options;
    const { uid } = deployment.metadata;
    for (const [podUid, { at }] of this.#created) {
      if (clock.monotonic() - at > FORGET_CREATED_MS) this.#created.delete(podUid);
    }
    const seen = pods.list();
    const created = [...this.#created.values()].map(({ pod }) => pod);
    return [...seen, ...created].filter(
      (pod) =>
        ownerOf(pod)?.uid === uid &&
        pod.metadata.deletionTimestamp === undefined &&
        !this.#deleted.has(pod.metadata.uid!) &&
        pod.status?.phase !== "Succeeded" &&
        pod.status?.phase !== "Failed",
    );
  }

  async #create(deployment: Deployment, hash: string): Promise<void> {
    const { client, clock, pods } = this.#options;
    const { name, namespace, uid } = deployment.metadata;
    const { metadata: template, spec } = deployment.spec.template;
    const suffix = Math.random().toString(36).slice(2, 7).padEnd(5, "x");
    const owner = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      name,
      uid: uid!,
      controller: true,
      blockOwnerDeletion: true,
    };
    const pod = await client.create<Pod>(resources.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: `${name.slice(0, 46)}-${hash}-${suffix}`,
        generateName: `${name.slice(0, 46)}-${hash}-`,
        ...(namespace === undefined ? {} : { namespace }),
        labels: { ...template?.labels, [TEMPLATE_HASH_LABEL]: hash },
        ...(template?.annotations === undefined ? {} : { annotations: template.annotations }),
        ownerReferences: [owner],
      },
      spec: { ...spec },
    });
    const seen = pods.getByKey(objectKey(pod));
    if (seen?.metadata.uid !== pod.metadata.uid) this.#created.set(pod.metadata.uid!, { pod, at: clock.monotonic() });
  }

  async #remove(pod: Pod): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    this.#deleted.add(uid!);
    try {
      await this.#options.client.delete(resources.pods, namespace, name, { uid: uid! });
    } catch (error) {
      this.#deleted.delete(uid!);
      if (!isNotFound(error)) throw error;
    }
    if (this.#options.pods.getByKey(objectKey(pod)) === undefined) this.#deleted.delete(uid!);
  }
}

function ownerOf(pod: Pod): { name: string; uid: string } | undefined {
  return pod.metadata.ownerReferences?.find(({ kind, controller }) => kind === "Deployment" && controller === true);
}
