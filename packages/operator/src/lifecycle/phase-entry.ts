import type { ElastiService, Phase } from "@elasti/api";
import type { WakeReason } from "@elasti/scaling";
import type { JournalEntry } from "../policy-hooks.ts";
import type { Ruling } from "./ruling.ts";

/** A change of phase as it was written. */
export interface PhaseChange {
  readonly es: ElastiService;
  readonly from: Phase | undefined;
  readonly to: Phase;
  readonly why: string;
  readonly ruling: Pick<Ruling, "sleep" | "by">;
  readonly wakeReason: WakeReason;
  /** Somebody else raised it from zero. */
  readonly byOthers: boolean;
  /** Replicas before the write to zero; undefined: not known. */
  readonly before: number | undefined;
  /** Replicas now; undefined: not known. */
  readonly now: number | undefined;
  readonly atMs: number;
}

/** What a change of phase did to the replicas, for the journal; undefined: nothing. */
export function phaseEntry(change: PhaseChange): JournalEntry | undefined {
  const { es, from, to, why, ruling, wakeReason, byOthers, before = null, now = null, atMs } = change;
  const common = { es, reason: why, atMs };
  const forOverride = ruling.by === undefined ? "operator" : `override:${ruling.by}`;
  if (to === "Asleep" && (from === "Sealed" || from === "Serving")) {
    const own = ruling.sleep === undefined ? "operator" : forOverride;
    const triggeredBy = from === "Sealed" ? own : "manual";
    return { ...common, action: "sleep", previousReplicas: before, newReplicas: 0, triggeredBy };
  }
  if (to === "Waking") {
    const triggeredBy = byOthers ? "manual" : wakeReason === "override" ? forOverride : "operator";
    return { ...common, action: "wake", previousReplicas: 0, newReplicas: now, triggeredBy };
  }
  return undefined;
}
