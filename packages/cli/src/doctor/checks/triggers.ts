import { keyOf } from "@elasti/api";
import type { Finding } from "../finding.ts";
import type { Check, TriggerAnswer } from "../snapshot.ts";

/** Each Prometheus answers, and each query with one series. */
export const checkTriggers: Check = ({ triggers }) => triggers.flatMap(of);

function of({ elastiService, field, server, answer }: TriggerAnswer): Finding[] {
  const { metadata } = elastiService;
  const object = `ElastiService ${keyOf(metadata.namespace ?? "", metadata.name)}`;
  const about = { object, severity: "warning" } as const;
  if (answer.kind === "unknown")
    return [
      {
        object,
        severity: "info",
        reason: "PrometheusNotAsked",
        message: `${field}, ${server}: ${answer.message}`,
        mend: "",
      },
    ];
  if (answer.kind === "failure")
    return [
      {
        ...about,
        reason: "PrometheusUnreachable",
        message: `${field}: ${server} gave no answer that can be used (${answer.message}), so it neither falls asleep nor is woken by it`,
        mend: "correct serverAddress, headers or query; requests wake it all the same",
      },
    ];
  if (answer.count === 0)
    return [
      {
        ...about,
        reason: "NoData",
        message: `${field}: the query matches no series, which says nothing: it does not fall asleep`,
        mend: "if no series means no traffic, add: or vector(0)",
      },
    ];
  if (answer.count > 1)
    return [
      {
        ...about,
        reason: "SeveralSeries",
        message: `${field}: the query gives ${answer.count} series, and one is needed: it does not fall asleep`,
        mend: "aggregate it, as with sum()",
      },
    ];
  return [];
}
