import { errorText, type Logger } from "@elasti/core";
import type { AutoscalerStage, ScaleHandler } from "@elasti/scaling";
import type { SessionHub } from "../elastiserver/session-hub.ts";
import type { Journal } from "../policy-hooks.ts";
import { adjust } from "./adjust.ts";
import { identityOf, type StoredElastiService } from "./cluster-view.ts";
import { withRaise } from "./contest.ts";
import type { Events } from "./contracts.ts";
import { isRefused } from "./failure.ts";
import { phaseEntry } from "./phase-entry.ts";
import type { Observation, Step } from "./phases.ts";
import type { Routing } from "./routing.ts";
import { RunWork, type RunWorkOptions } from "./run-work.ts";
import { Run } from "./sleep-run.ts";
import type { StatusChange, StatusWriter } from "./status-writer.ts";
import type { Subject } from "./subject.ts";

type Doable = Exclude<Step, { do: "wait" }>;

/** A pass is over, and begins again by itself after a time, if at all. */
export interface PassEnd {
  readonly requeueAfterMs?: number;
}

/** What this leader remembers of one service between steps. */
export interface Memory {
  run: Run | undefined;
  /** What the fence of phase Sealed with `epoch` found. */
  fence: { epoch: number; outcome: Observation["fence"]; why: string } | undefined;
  /** uid of the Service that we parked last, until we take the park off. */
  parkedUid: string | undefined;
}

export interface PerformerOptions extends RunWorkOptions {
  routing: Routing;
  status: StatusWriter;
  scale: ScaleHandler;
  hub: SessionHub;
  events: Events;
  logger: Logger;
  /** Resource version to sleep from, of the target; shared by ElastiServices that share it. */
  readTarget: (subject: Subject) => Promise<string | undefined>;
  /** Replicas that a wake asks for, and whether an autoscaler has them from one up. */
  wanted: (es: StoredElastiService) => { readonly replicas: number; readonly autoscaled: boolean };
  tellAutoscaler: (es: StoredElastiService, stage: AutoscalerStage) => Promise<void>;
  /** Removes all that is ours, and the finalizer. */
  release: (subject: Subject) => Promise<void>;
  onPhase: (from: string | undefined, to: string) => void;
  journal?: Journal;
}

/** Performs one step of the protocol. */
export class Performer {
  readonly #options: PerformerOptions;
  readonly #work: RunWork;

  constructor(options: PerformerOptions) {
    this.#options = options;
    this.#work = new RunWork(options);
  }

  /**
   * @returns undefined where the next step can be decided on at once; otherwise the pass is over
   * @throws ELASTI_KUBE_CONFLICT when what was observed is no longer so
   */
  async perform(step: Doable, subject: Subject, memory: Memory): Promise<PassEnd | undefined> {
    if (step.do === "scale-up") return await this.#scaleUp(subject, step.why);
    await this.#perform(step, subject, memory);
    return step.do === "release" ? {} : undefined;
  }

  async #perform(step: Exclude<Doable, { do: "scale-up" }>, subject: Subject, memory: Memory): Promise<void> {
    const { routing, scale } = this.#options;
    const { es, service, target } = subject;
    const epoch = es.status?.epoch ?? 0;
    switch (step.do) {
      case "write-slice":
        return await routing.writeSlices(subject.ourSlices, subject.desiredSlices);
      case "delete-slice":
        return await routing.deleteSlices(subject.ourSlices);
      case "park":
        await routing.setPark(service!, true, epoch);
        memory.parkedUid = service!.metadata.uid;
        if (memory.run !== undefined) memory.run.parkWritten = true;
        return;
      case "unpark":
        memory.parkedUid = undefined;
        return await routing.setPark(service!, false, epoch);
      case "fence-service":
        return await routing.fence(service!, epoch);
      case "start-proof":
        return this.#work.prove(subject, memory.run!);
      case "start-grace":
        return this.#work.grace(subject, memory.run!);
      case "look-again":
        return this.#work.look(subject, memory.run!);
      case "read-target":
        memory.run!.targetVersion = await this.#options.readTarget(subject);
        // no version that is safe to sleep from: another time
        if (memory.run!.targetVersion === undefined) memory.run!.look = "not-idle";
        return;
      case "start-seal":
        return this.#work.seal(subject, memory.run!);
      case "zero": {
        const run = memory.run!;
        if (target.kind !== "found" || run.targetVersion === undefined) return;
        if (run.zeroTries === 0) run.replicasBefore = target.replicas;
        run.zeroTries += 1;
        try {
          run.zero = await scale.zero({ ref: target.ref, resourceVersion: run.targetVersion });
        } catch (error) {
          // certainly not written, by this service or, if it is alone, by another one of the same target
          if (run.zero === "none" && subject.alone && isRefused(error)) {
            run.zero = "refused";
            run.zeroRefusal = error;
          }
          throw error;
        }
        return;
      }
      case "fence-target": {
        if (target.kind !== "found") return;
        const { landed } = await scale.fence({
          ref: target.ref,
          of: identityOf(es),
          epoch,
          ...this.#options.wanted(es),
        });
        memory.fence = { epoch, outcome: landed ? "landed" : "kept", why: step.why };
        return;
      }
      case "tell-autoscaler":
        return await this.#options.tellAutoscaler(es, step.stage);
      case "adjust":
        return await adjust(subject, step.why, this.#options);
      case "mark-pods-gone":
        await this.#options.status.write(es, { podsGone: true });
        return;
      case "set-phase":
        return await this.#setPhase(step, subject, memory);
      case "release":
        if (step.why === "deleted") this.#options.events.record(es, "Normal", "Restored", "everything is put back");
        return await this.#options.release(subject);
    }
  }

  async #setPhase(step: Extract<Step, { do: "set-phase" }>, subject: Subject, memory: Memory): Promise<void> {
    const { es, target } = subject;
    const { status, hub, clock, logger, events } = this.#options;
    const namespace = es.metadata.namespace ?? "";
    const from = es.status?.phase;
    const { phase } = step;
    // behind a fence the step knows only that there was one
    const refusal = from === "Sealed" && memory.run?.zero === "refused" ? memory.run.zeroRefusal : undefined;
    const said = refusal === undefined ? step.why : `${step.why}: ${errorText(refusal)}`;
    const why = from === "Sealed" ? (memory.fence?.why ?? said) : step.why;
    // counted from before the write: a request in between is one since the run began
    const mark = phase === "Draining" ? hub.mark(namespace, es.spec.service) : undefined;
    const now = new Date(clock.now()).toISOString();
    // what clients are told outlives the change: a resolver that did not know would let a request through
    const more: StatusChange = subject.pinned === undefined ? {} : { waking: subject.pinned };
    if (phase === "Waking") {
      more.lastScaledUpTime = now;
      more.lastActiveTime = now;
      more.lastWake = {
        time: now,
        reason: subject.wakeReason,
        fromReplicas: 0,
        toReplicas: target.kind === "found" ? target.replicas : 0,
      };
      if (subject.raisedByOthers && from === "Asleep") {
        const { generation } = es.metadata;
        const raise = {
          time: now,
          epoch: (es.status?.epoch ?? 0) + 1,
          ...(generation === undefined ? {} : { generation }),
        };
        more.raises = withRaise(es.status?.raises, raise);
      }
    }
    const written = await status.setPhase(es, phase, more);
    const epoch = written.status?.epoch ?? 0;
    logger.info({ namespace, service: es.spec.service, phase, epoch, from, reason: why }, "phase");
    this.#options.onPhase(from, phase);
    const entry = phaseEntry({
      es,
      from,
      to: phase,
      why,
      ruling: subject.ruling,
      wakeReason: subject.wakeReason,
      byOthers: subject.raisedByOthers,
      before: memory.run?.replicasBefore,
      now: target.kind === "found" ? target.replicas : undefined,
      atMs: clock.now(),
    });
    if (entry !== undefined) this.#options.journal?.record(entry);
    if (phase === "Draining") events.record(es, "Normal", "SleepBegan", why);
    else if (phase === "Asleep") events.record(es, "Normal", "Asleep", why);
    else if (phase === "Waking") events.record(es, "Normal", "Woken", why);
    else if (from === "Draining" && memory.run?.proof === "failed") {
      events.record(es, "Warning", "RoutingUnsupported", memory.run.proofDetail);
    } else if (phase === "Serving" && (from === "Draining" || from === "Sealed"))
      events.record(es, "Normal", "SleepUndone", why);
    if (mark !== undefined) {
      memory.run?.end();
      const ordered = subject.ruling.sleep;
      const requestsSeen = () => {
        const { requests, lost } = hub.requestsSince(mark);
        // of a resolver whose session broke nobody knows what it has seen; pinned, all others refuse from the moment at which
        // they see Draining, and their seal says whether anything is under way from before
        return (ordered === "pinned" ? 0 : requests) + lost.length;
      };
      memory.run = new Run(epoch, es.metadata.generation, requestsSeen, ordered);
    } else if (phase !== "Sealed") {
      memory.run?.end();
      memory.run = undefined;
    }
    memory.fence = undefined;
  }

  async #scaleUp({ es, target, wakeReason }: Subject, why: string): Promise<PassEnd | undefined> {
    if (target.kind !== "found") return undefined;
    const { scale, events } = this.#options;
    const { replicas, autoscaled } = this.#options.wanted(es);
    try {
      const result = await scale.wake({
        ref: target.ref,
        wanted: replicas,
        autoscaled,
        reason: wakeReason,
        ...(es.status?.phase === "Asleep" ? { asleep: { ...identityOf(es), epoch: es.status.epoch ?? 0 } } : {}),
      });
      if (result.outcome === "scaled") {
        events.record(
          es,
          "Normal",
          "SuccessToScale",
          `scaled ${target.ref.name} from ${result.from} to ${result.to}: ${why}`,
        );
      }
      // taken back to zero since: until the window is over nothing is written, however often it is asked for
      const inMs = result.outcome === "in-progress" ? scale.rescaleInMs(target.ref) : 0;
      return inMs > 0 && scale.latest(target.ref)?.replicas === 0 ? { requeueAfterMs: Math.ceil(inMs) + 1 } : undefined;
    } catch (error) {
      events.record(es, "Warning", "FailedToScale", `scaling ${target.ref.name} up failed: ${errorText(error)}`);
      throw error;
    }
  }
}
