import { failureOf } from "./failure.ts";
import { noteAsleep, noteUndone, type ServiceMemory } from "./memory.ts";
import type { Observation, Step } from "./phases.ts";

/** Why a sleep that was begun was not completed. */
export type UndoneCause = "activity" | "routing" | "seal" | "other";

/**
 * Takes note of a step that gives a sleep up, before it is performed: the memory of the run goes with it.
 * @param ordered the sleep was asked for by a person
 * @returns why it is given up; undefined where the step gives up no sleep
 */
export function noteGivenUp(
  step: Step,
  o: Observation,
  memory: ServiceMemory,
  nowMs: number,
  ordered: boolean,
): UndoneCause | undefined {
  if (step.do !== "set-phase") return undefined;
  const leavesSleep =
    (o.phase === "Draining" || o.phase === "Sealed") && step.phase !== "Sealed" && step.phase !== "Asleep";
  if (!leavesSleep) return undefined;
  const { run } = memory;
  const byActivity = (run?.requestsSeen ?? 0) > 0 || o.wantsAwake || run?.look === "not-idle" || o.fence === "landed";
  // a sleep that nobody leads any more, because its leader died or its spec was changed, has not failed
  // asked for by a person, it would be begun again at once, whatever came
  if (run !== undefined || byActivity) noteUndone(memory, nowMs, byActivity && !ordered);
  const refused = run?.zero === "refused" ? failureOf(run.zeroRefusal) : undefined;
  if (refused?.missing !== undefined) memory.missingRight = refused.message;
  if (run?.proof === "failed")
    memory.routingProblem = {
      reason: "RoutingUnsupported",
      message: `not proven that traffic reaches the resolvers: ${run.proofDetail}`,
    };
  return byActivity ? "activity" : run?.proof === "failed" ? "routing" : run?.seal === "refused" ? "seal" : "other";
}

/** Takes note of a step that completed a sleep. */
export function noteCompleted(step: Step, o: Observation, memory: ServiceMemory): void {
  if (step.do === "set-phase" && step.phase === "Asleep" && o.phase === "Sealed") noteAsleep(memory);
}
