import { type Condition, type ElastiService, keyOf } from "@elasti/api";
import type { Finding, Severity } from "../finding.ts";
import type { Check } from "../snapshot.ts";

/** Conditions that hold while something is worth looking at, and how to mend it. */
const notes: Readonly<Record<string, { severity: Severity; mend: string }>> = {
  WakeFailed: {
    severity: "error",
    mend: "what keeps the pods from starting is in the message; requests are answered 503 until it is mended",
  },
  Contested: {
    severity: "warning",
    mend: "add the ignore rule that the message names to the tool that manages the target",
  },
  SelectorReverted: {
    severity: "warning",
    mend: "add the ignore rule that the message names to the tool that manages the Service",
  },
  PermissionMissing: { severity: "error", mend: "grant what the message names" },
  AutoscalerUnsupported: { severity: "warning", mend: "the message names the autoscaler and what to set" },
  AutoscalerMissing: { severity: "warning", mend: "correct spec.autoscaler, or make the autoscaler" },
  UnmanagedServices: {
    severity: "warning",
    mend: "give that Service an ElastiService, too, or let its clients use this one",
  },
  ResolverPortTaken: {
    severity: "warning",
    mend: "if it stays, see which Service the message names, and which of the two has the port in the ConfigMaps elasti-ports-*",
  },
  PortsSkipped: { severity: "warning", mend: "let nobody rely on those ports while it sleeps" },
};

/** Reasons of a trigger's silence that somebody has to mend; others pass. */
const passing: ReadonlySet<string> = new Set([
  ...["Cooldown", "Held", "InFlight", "RecentRequest", "NotAskedYet", "WatchedTooShortly", "NotWatched"],
  ...["SampleTooOld", "VerdictTooOld", "ReportTooOld", "AutoscalerPending"],
]);

/** What the operator itself says of the ElastiServices, as far as it has to be mended. */
export const checkConditions: Check = ({ elastiServices }) => elastiServices.flatMap(of);

function of(es: ElastiService): Finding[] {
  const { namespace = "", name, generation, deletionTimestamp } = es.metadata;
  const object = `ElastiService ${keyOf(namespace, name)}`;
  const see = (reason: string): string => `docs/troubleshooting.md#${reason.toLowerCase()}`;
  const { conditions = [], observedGeneration, phase } = es.status ?? {};
  if (phase === undefined)
    return [
      {
        severity: "warning",
        reason: "NotLookedAfter",
        object,
        message: "no operator has taken it up yet",
        mend: "is its namespace among WATCH_NAMESPACES, and does an operator lead?",
      },
    ];
  const found: Finding[] = [];
  const tell = (severity: Severity, { reason, message }: Condition, mend: string): void => {
    found.push({ severity, reason, object, message, mend: `${mend} (${see(reason)})` });
  };
  for (const condition of conditions) {
    const { type, status } = condition;
    const note = notes[type];
    if (note !== undefined && status === "True") tell(note.severity, condition, note.mend);
    if (type === "Ready" && status === "False")
      tell(
        "error",
        condition,
        condition.reason === "OtherOperator" ? "stop the other operator" : "the message says what is missing",
      );
    if (type === "RoutingSupported" && status !== "True" && !found.some(({ reason }) => reason === condition.reason))
      tell("warning", condition, "until then it does not fall asleep");
    if (type === "Idle" && status === "Unknown" && !passing.has(condition.reason))
      tell("warning", condition, "until then it stays as it is, awake or asleep");
  }
  if (generation !== undefined && observedGeneration !== undefined && observedGeneration < generation)
    found.push({
      severity: "warning",
      reason: "Behind",
      object,
      message: `status speaks of generation ${observedGeneration}, the object is at ${generation}`,
      mend: "wait a moment; if it stays so, look at the operator's log",
    });
  if (deletionTimestamp !== undefined)
    found.push({
      severity: "warning",
      reason: "Deleting",
      object,
      message: `it is being deleted since ${deletionTimestamp}, and waits for the operator`,
      mend: "if no operator runs any more: elasti restore",
    });
  return found;
}
