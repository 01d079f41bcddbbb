import type { ElastiService } from "@elasti/api";
import { type Clock, errorText, type Logger } from "@elasti/core";
import { type KubeClient, objectKey, type ScaledObject } from "@elasti/kube";
import { type AutoscalerStage, autoscalerStages, isTouched, nextAnnotations } from "@elasti/scaling";
import {
  type AutoscalerFacts,
  type AutoscalerNote,
  mayTell,
  notesOf,
  obstacleOf,
  stageFor,
  stateOfScaledObject,
  wantedOf,
} from "./autoscaler-rules.ts";
import { type AutoscalerWatch, isSameTarget } from "./autoscaler-watch.ts";
import { ScaledObjectWriter } from "./scaled-object-writer.ts";

/** Longest that a wake waits for KEDA to be told: its admission webhook may be slow, or gone. In ms. */
export const wakeLeadMs = 100;

export interface AutoscalersOptions {
  client: KubeClient;
  watch: AutoscalerWatch;
  clock: Clock;
  logger: Logger;
  /** The other ElastiServices with the same target that are acted on. */
  peersOf: (es: ElastiService) => readonly ElastiService[];
  /** Those with a target of that name, in whatever state and of whatever kind. */
  elastiServicesOfTarget: (namespace: string, name: string) => readonly ElastiService[];
  enqueue: (es: ElastiService) => void;
  /** A ScaledObject carries something of ours, and may be nobody's any more. */
  enqueueOrphan: (namespace: string, name: string) => void;
}

/** The autoscalers of targets as the lifecycle deals with them: what they allow, what a wake asks for, what they are to be told. */
export class Autoscalers {
  readonly #options: AutoscalersOptions;
  readonly #writer: ScaledObjectWriter;

  constructor(options: AutoscalersOptions) {
    this.#options = options;
    const { client, clock, logger, watch } = options;
    this.#writer = new ScaledObjectWriter({
      client,
      clock,
      logger,
      scaledObjects: watch.scaledObjects,
      retry: (namespace, name) => {
        const object = watch.scaledObjects.get(namespace, name);
        if (object !== undefined) this.#changed(object);
      },
    });
    watch.onObject((object) => this.#changed(object));
  }

  /** Why the target may not be put to zero; undefined when nothing of this kind is in the way. */
  obstacle(es: ElastiService): { readonly reason: string; readonly message: string } | undefined {
    return obstacleOf(this.#factsOf(es));
  }

  /** What status says of them. */
  notes(es: ElastiService): readonly AutoscalerNote[] {
    return notesOf(this.#factsOf(es));
  }

  /** Replicas that a wake asks for, and whether somebody else has them from one up. */
  wanted(es: ElastiService): { readonly replicas: number; readonly autoscaled: boolean } {
    return wantedOf(es, this.#options.watch.of(es));
  }

  /** The stages for which a write is missing now. */
  due(es: ElastiService): readonly AutoscalerStage[] {
    if (this.#options.watch.of(es).scaledObjects.length === 0) return [];
    const peers = this.#options.peersOf(es);
    return autoscalerStages.filter((stage) => mayTell(stage, peers) && this.#toTell(es, stage) !== undefined);
  }

  /** One write towards a stage. @throws ELASTI_KUBE_CONFLICT */
  async tell(es: ElastiService, stage: AutoscalerStage): Promise<void> {
    const found = this.#toTell(es, stage);
    if (found !== undefined) await this.#writer.write(found.object, this.#stateOf(found.object, es), found.stage);
  }

  /**
   * What has to come before a target at zero is scaled up: KEDA must not be told any more to hold it there, by nobody. Resolves
   * when it has been told, and in any case soon: the wake itself depends on nobody.
   */
  async beforeWake(es: ElastiService): Promise<void> {
    const { watch } = this.#options;
    const stateOf = (object: ScaledObject) => this.#stateOf(object, es);
    const held = watch.of(es).scaledObjects.filter((object) => {
      if (stageFor(object, "waking", watch.kedaVersion) === undefined) return false;
      return nextAnnotations(stateOf(object), "waking") !== undefined;
    });
    if (held.length === 0) return;
    const { clock, logger } = this.#options;
    const written = held.map(async (object) => {
      try {
        await this.#writer.writeForWake(object, stateOf, "waking");
      } catch (error) {
        const { namespace, name } = object.metadata;
        logger.warn({ namespace, scaledObject: name, error: errorText(error) }, "autoscaler not told of a wake");
      }
    });
    const enough = new AbortController();
    await Promise.race([Promise.all(written), clock.sleep(wakeLeadMs, enough.signal).catch(() => {})]);
    enough.abort();
  }

  /** Puts back what stands on a ScaledObject that no ElastiService's target is scaled by any more. @throws what keeps it from that */
  async restoreOrphan(namespace: string, name: string): Promise<void> {
    const { watch } = this.#options;
    const object = watch.touched(namespace).find(({ metadata }) => metadata.name === name);
    if (object === undefined || object.metadata.deletionTimestamp !== undefined || this.#usersOf(object).length > 0)
      return;
    // it comes back by itself when it may be tried again
    if (this.#writer.trouble(object) !== undefined) return;
    await this.#writer.write(object, stateOfScaledObject(object, undefined), "restored");
  }

  /** Those that carry something of ours go through the queue of orphans. */
  enqueueOrphans(namespace?: string): void {
    for (const { metadata } of this.#options.watch.touched(namespace))
      this.#options.enqueueOrphan(metadata.namespace ?? "", metadata.name);
  }

  start(): void {
    this.#options.watch.start();
  }

  async close(): Promise<void> {
    this.#writer.close();
    await this.#options.watch.close();
  }

  /** The first ScaledObject for which a write towards a stage is missing, and may be tried. */
  #toTell(es: ElastiService, wanted: AutoscalerStage): { object: ScaledObject; stage: AutoscalerStage } | undefined {
    const { watch } = this.#options;
    for (const object of watch.of(es).scaledObjects) {
      if (this.#writer.trouble(object) !== undefined) continue;
      const stage = stageFor(object, wanted, watch.kedaVersion);
      if (stage !== undefined && nextAnnotations(this.#stateOf(object, es), stage) !== undefined)
        return { object, stage };
    }
    return undefined;
  }

  #stateOf(object: ScaledObject, es: ElastiService): ReturnType<typeof stateOfScaledObject> {
    return stateOfScaledObject(object, es, this.#options.peersOf(es));
  }

  #factsOf(es: ElastiService): AutoscalerFacts {
    const { watch } = this.#options;
    const { states, kedaVersion } = watch;
    const named = watch.named(es);
    return { es, ...watch.of(es), states, kedaVersion, named, troubleOf: (object) => this.#writer.trouble(object) };
  }

  #usersOf({ metadata, spec }: { metadata: { namespace?: string }; spec: ScaledObject["spec"] }): ElastiService[] {
    const { namespace = "" } = metadata;
    return this.#options
      .elastiServicesOfTarget(namespace, spec.scaleTargetRef.name)
      .filter((es) => isSameTarget(es.spec.scaleTargetRef, spec.scaleTargetRef));
  }

  #changed(object: Parameters<Parameters<AutoscalerWatch["onObject"]>[0]>[0]): void {
    const { watch, enqueue, enqueueOrphan } = this.#options;
    const { namespace = "", name } = object.metadata;
    for (const es of this.#usersOf(object as ScaledObject)) enqueue(es);
    if (object.kind !== "ScaledObject") return;
    const now = watch.scaledObjects.get(namespace, name);
    if (now === undefined) this.#writer.forget(objectKey(object));
    else if (isTouched(now.metadata.annotations)) enqueueOrphan(namespace, name);
  }
}
