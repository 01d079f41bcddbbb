import { FIELD_MANAGER } from "@elasti/api";
import { type Clock, errorText, type Logger, type Timer } from "@elasti/core";
import {
  isConflict,
  isForbidden,
  isNotFound,
  type KubeClient,
  objectKey,
  resources,
  type ScaledObject,
} from "@elasti/kube";
import { type AutoscalerStage, nextAnnotations, type ScaledObjectState } from "@elasti/scaling";
import type { OwnWrites } from "../lifecycle/own-writes.ts";
import { trimScaledObject } from "./autoscaler-watch.ts";

/** Why nothing is written to a ScaledObject for now. */
export interface WriteTrouble {
  readonly reason: "AutoscalerNotWritable" | "AutoscalerReverted";
  readonly message: string;
}

interface Notes {
  /** The stage of our last write. */
  stage: AutoscalerStage;
  /** Times that somebody took our annotations off again, and when it was last. */
  reverts: number;
  revertedAtMs: number;
  /** Failures in a row. */
  failures: number;
  trouble: (WriteTrouble & { readonly untilMs: number; readonly timer: Timer }) | undefined;
}

const firstPauseMs = 5_000;
const longestPauseMs = 300_000;
/** After so long without another, reverts are forgotten. */
const forgetMs = 600_000;
/** Whoever reverts once may have done so by chance. */
const freeReverts = 2;

export interface ScaledObjectWriterOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly scaledObjects: OwnWrites<ScaledObject>;
  /** A pause after a trouble is over. */
  readonly retry: (namespace: string, name: string) => void;
}

/**
 * Writes annotations to ScaledObjects, each write under the resourceVersion that it was decided on. What cannot be written, and
 * what somebody takes off again, is tried more and more rarely: an autoscaler is no reason to hold up anything else.
 */
export class ScaledObjectWriter {
  readonly #options: ScaledObjectWriterOptions;
  readonly #notes = new Map<string, Notes>();

  constructor(options: ScaledObjectWriterOptions) {
    this.#options = options;
  }

  /** Why this ScaledObject is not written to now. */
  trouble(object: ScaledObject): WriteTrouble | undefined {
    const trouble = this.#notes.get(objectKey(object))?.trouble;
    return trouble === undefined || this.#options.clock.monotonic() >= trouble.untilMs ? undefined : trouble;
  }

  /**
   * Brings a ScaledObject one write nearer to a stage. A failure that is nobody's race is noted as trouble, and not thrown.
   * @throws ELASTI_KUBE_CONFLICT when somebody was faster: observe again
   */
  async write(object: ScaledObject, state: ScaledObjectState, stage: AutoscalerStage): Promise<void> {
    const change = nextAnnotations(state, stage);
    if (change === undefined) return;
    const { clock, logger, scaledObjects } = this.#options;
    const { namespace = "", name } = object.metadata;
    const key = objectKey(object);
    const notes = this.#notesOf(key, stage);
    // what was written for this very stage is gone again
    if (notes.stage === stage && notes.failures === 0) {
      const now = clock.monotonic();
      notes.reverts = now - notes.revertedAtMs > forgetMs ? 1 : notes.reverts + 1;
      notes.revertedAtMs = now;
      if (notes.reverts > freeReverts) {
        notes.stage = "restored";
        this.#pause(object, notes, notes.reverts - freeReverts, {
          reason: "AutoscalerReverted",
          message: `somebody takes the annotations of Elasti off ScaledObject ${name}; let your GitOps tool ignore metadata.annotations of autoscaling.keda.sh`,
        });
        return;
      }
    }
    try {
      scaledObjects.wrote(await this.#patch(object, change));
      notes.stage = stage;
      notes.failures = 0;
      notes.trouble?.timer.cancel();
      notes.trouble = undefined;
      logger.info({ namespace, scaledObject: name, reason: stage }, "autoscaler told");
    } catch (error) {
      if (isConflict(error)) throw error;
      if (isNotFound(error)) {
        this.forget(key);
        return;
      }
      notes.failures += 1;
      this.#pause(object, notes, notes.failures, {
        reason: "AutoscalerNotWritable",
        message: `ScaledObject ${name} cannot be told: ${errorText(error)}`,
      });
      if (notes.failures === 1 || isForbidden(error))
        logger.warn({ namespace, scaledObject: name, reason: stage, error: errorText(error) }, "autoscaler not told");
    }
  }

  /**
   * As `write`, for a wake that is waiting: takes no note of trouble, and reads afresh once after a conflict.
   * @throws whatever the API server says
   */
  async writeForWake(
    object: ScaledObject,
    stateOf: (object: ScaledObject) => ScaledObjectState,
    stage: AutoscalerStage,
  ): Promise<void> {
    const { client, scaledObjects } = this.#options;
    const { namespace, name } = object.metadata;
    let seen = object;
    for (let attempt = 0; ; attempt += 1) {
      const change = nextAnnotations(stateOf(seen), stage);
      if (change === undefined) return;
      try {
        scaledObjects.wrote(await this.#patch(seen, change));
        return;
      } catch (error) {
        if (!isConflict(error) || attempt > 0) throw error;
        seen = trimScaledObject(await client.get<ScaledObject>(resources.scaledObjects, namespace, name));
      }
    }
  }

  /** The ScaledObject is gone. */
  forget(key: string): void {
    this.#notes.get(key)?.trouble?.timer.cancel();
    this.#notes.delete(key);
  }

  close(): void {
    for (const key of [...this.#notes.keys()]) this.forget(key);
  }

  #notesOf(key: string, stage: AutoscalerStage): Notes {
    let notes = this.#notes.get(key);
    if (notes === undefined) {
      // none was written yet; the note names a stage that this one is not
      const other = stage === "restored" ? "awake" : "restored";
      notes = { stage: other, reverts: 0, revertedAtMs: 0, failures: 0, trouble: undefined };
      this.#notes.set(key, notes);
    }
    return notes;
  }

  #pause(object: ScaledObject, notes: Notes, times: number, trouble: WriteTrouble): void {
    const { clock, retry } = this.#options;
    const { namespace = "", name } = object.metadata;
    const pauseMs = Math.min(longestPauseMs, firstPauseMs * 4 ** Math.min(times - 1, 8));
    notes.trouble?.timer.cancel();
    const timer = clock.after(pauseMs + 1, () => retry(namespace, name));
    notes.trouble = { ...trouble, untilMs: clock.monotonic() + pauseMs, timer };
  }

  async #patch(object: ScaledObject, annotations: Readonly<Record<string, string | null>>): Promise<ScaledObject> {
    const { namespace, name, resourceVersion } = object.metadata;
    const body = { metadata: { resourceVersion, annotations } };
    const written = await this.#options.client.patch<ScaledObject>(
      resources.scaledObjects,
      namespace,
      name,
      "merge",
      body,
      { fieldManager: FIELD_MANAGER },
    );
    return trimScaledObject(written);
  }
}
