import type { ElastiService, Phase } from "@elasti/api";
import { type KubeClient, resources, type Service } from "@elasti/kube";
import { sampleAppManifests } from "@elasti/local";
import { images } from "../cluster/images.ts";
import { startRealWorld } from "../e2e/real-world.ts";
import type { World, WorldOptions } from "../e2e/world.ts";
import type { BenchApp, Host } from "./host.ts";

/** As much of a container as is changed here. */
interface Imaged {
  image: string;
  imagePullPolicy?: string;
  command?: readonly string[];
}

/** Elasti as pods of a real cluster of ours, with the settings that it has when nobody sets any. */
export class RealHost implements Host {
  readonly world: World;

  private constructor(world: World) {
    this.world = world;
  }

  static async start(options: WorldOptions): Promise<RealHost> {
    const kubeconfig = process.env.ELASTI_TEST_KUBECONFIG ?? "";
    return new RealHost(await startRealWorld(kubeconfig, { ...options, settings: "default" }));
  }

  get client(): KubeClient {
    return this.world.client;
  }

  /** An app of a sample image, at zero replicas. */
  async sampleApp(options: { name: string; startMs: number; readinessPeriodSeconds?: number }): Promise<BenchApp> {
    const { deployment, service } = sampleAppManifests(options);
    for (const container of (deployment.spec.template.spec?.containers ?? []) as Imaged[]) {
      container.image = images.node;
      container.imagePullPolicy = "Never";
      delete container.command;
    }
    await this.client.create(resources.deployments, deployment);
    const { metadata, spec } = await this.client.create<Service>(resources.services, service);
    return { name: metadata.name, address: spec.clusterIP ?? "", port: spec.ports?.[0]?.port ?? 0 };
  }

  async elastiService({ spec }: { spec: ElastiService["spec"] }): Promise<ElastiService> {
    return await this.world.elastiService(spec.service, spec);
  }

  async waitForPhase(
    namespace: string,
    name: string,
    phase: Phase,
    options: { afterEpoch?: number; timeoutMs?: number; when?: (es: ElastiService) => boolean },
  ): Promise<ElastiService> {
    const { afterEpoch = -1, timeoutMs, when = () => true } = options;
    return await this.world.until<ElastiService, ElastiService>(
      `phase ${phase} after epoch ${afterEpoch}`,
      resources.elastiServices,
      namespace,
      name,
      (es) => (es?.status?.phase === phase && (es.status.epoch ?? 0) > afterEpoch && when(es) ? es : undefined),
      timeoutMs,
    );
  }

  /** Closes its connections; what it made goes with the cluster. */
  close(): Promise<void> {
    return this.client.close();
  }
}
