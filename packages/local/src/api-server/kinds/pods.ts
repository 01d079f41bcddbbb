import { resources } from "@elasti/kube";
import { type FieldError, forbidden } from "../field-error.ts";
import { type ApiObject, asArray, asObject, childObject, cloneJson, isJsonObject, jsonEqual } from "../json.ts";
import { defineKind, type Kind, specMoved } from "../kind.ts";
import { ageColumn, column, listAt, nameColumn, wide } from "./columns.ts";
import { defaultPodSpec, validatePodSpec } from "./pod-template.ts";

/** The fields of a pod's spec that an update may change; their values are taken out before the rest is compared. */
function withoutMutableFields(spec: unknown): unknown {
  const copy = cloneJson(asObject(spec));
  delete copy.activeDeadlineSeconds;
  delete copy.tolerations;
  delete copy.terminationGracePeriodSeconds;
  for (const list of ["containers", "initContainers"]) {
    for (const container of asArray(copy[list])) if (isJsonObject(container)) delete container.image;
  }
  return copy;
}

function validatePod(object: ApiObject, previous: ApiObject | undefined): FieldError[] {
  const problems = validatePodSpec(asObject(object.spec), "spec");
  if (
    previous !== undefined &&
    specMoved(object, previous) &&
    !jsonEqual(withoutMutableFields(object.spec), withoutMutableFields(previous.spec))
  ) {
    problems.push(
      forbidden(
        "spec",
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
      ),
    );
  }
  return problems;
}

/** The state as `kubectl get pods` names it: the reason of a waiting or ended container before the phase. */
function podState(object: ApiObject): string {
  const status = asObject(object.status);
  let state = String(status.reason ?? status.phase ?? "Unknown");
  for (const container of listAt(object, "status", "containerStatuses").toReversed()) {
    const { waiting, terminated } = asObject(container.state);
    if (isJsonObject(waiting) && typeof waiting.reason === "string") state = waiting.reason;
    else if (isJsonObject(terminated)) state = String(terminated.reason ?? `ExitCode:${terminated.exitCode}`);
  }
  return object.metadata.deletionTimestamp === undefined ? state : "Terminating";
}

function readyContainers(object: ApiObject): string {
  const statuses = listAt(object, "status", "containerStatuses");
  return `${statuses.filter((status) => status.ready === true).length}/${listAt(object, "spec", "containers").length}`;
}

export const podKind: Kind = defineKind({
  resource: resources.pods,
  shortNames: ["po"],
  categories: ["all"],
  hasStatus: true,
  returnsDeleted: true,
  selectableFields: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
  ],
  movesGeneration: specMoved,
  prepareCreate(object) {
    defaultPodSpec(childObject(object, "spec"));
    object.status = { phase: "Pending", qosClass: "BestEffort" };
  },
  prepareUpdate(object, previous) {
    defaultPodSpec(childObject(object, "spec"));
    object.status = previous.status;
  },
  validate: validatePod,
  defaultGraceSeconds(object) {
    const spec = asObject(object.spec);
    const phase = asObject(object.status).phase;
    // what never ran or has ended needs no time to stop
    if (!spec.nodeName || phase === "Succeeded" || phase === "Failed") return 0;
    return Number(spec.terminationGracePeriodSeconds ?? 30);
  },
  columns: [
    nameColumn,
    column("Ready", readyContainers, {
      description: "The aggregate readiness state of this pod for accepting traffic.",
    }),
    column("Status", podState, { description: "The aggregate status of the containers in this pod." }),
    column(
      "Restarts",
      (object) =>
        String(
          listAt(object, "status", "containerStatuses").reduce(
            (sum, entry) => sum + Number(entry.restartCount ?? 0),
            0,
          ),
        ),
      { description: "The number of times the containers in this pod have been restarted." },
    ),
    ageColumn,
    column("IP", (object) => asObject(object.status).podIP ?? "<none>", wide),
    column("Node", (object) => asObject(object.spec).nodeName ?? "<none>", wide),
    column("Nominated Node", () => "<none>", wide),
    column("Readiness Gates", () => "<none>", wide),
  ],
});
