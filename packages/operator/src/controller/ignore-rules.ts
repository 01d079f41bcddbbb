import { GROUP, PARK_KEY } from "@elasti/api";
import type { Resource } from "@elasti/kube";

/** What a field manager applies that Elasti needs left alone. */
export interface ContestedField {
  readonly resource: Pick<Resource, "group" | "kind">;
  readonly name: string;
  readonly field: "replicas" | "selector";
}

/** `/` is `~1` in a JSON pointer. */
const parkPointer = `/spec/selector/${PARK_KEY.replaceAll("/", "~1")}`;

/** Programs that are known by the field managers that they write as. */
type Tool = "argo-cd" | "kustomize-controller" | "helm" | "kubectl" | "autoscaler" | undefined;

function toolOf(manager: string | undefined): Tool {
  if (manager === undefined) return undefined;
  if (manager.startsWith("argocd")) return "argo-cd";
  if (manager === "kustomize-controller") return "kustomize-controller";
  if (manager === "helm" || manager === "Helm" || manager === "helm-controller") return "helm";
  if (manager.startsWith("kubectl") || manager === "before-first-apply") return "kubectl";
  if (manager.startsWith("keda") || manager === "kube-controller-manager") return "autoscaler";
  return undefined;
}

/** What to change, and where, so that `manager` leaves the field to Elasti. */
export function ignoreRule(manager: string | undefined, contested: ContestedField): string {
  return contested.field === "replicas"
    ? replicasRule(toolOf(manager), contested)
    : selectorRule(toolOf(manager), contested);
}

function replicasRule(tool: Tool, contested: ContestedField): string {
  switch (tool) {
    case "argo-cd":
      return argoRule(contested, "/spec/replicas");
    case "kustomize-controller":
      return "leave spec.replicas out of the manifest that Flux applies";
    case "helm":
      return "leave spec.replicas out of the chart's template; with Flux also spec.driftDetection.ignore: [{paths: [/spec/replicas]}]";
    case "kubectl":
      return "leave spec.replicas out of the manifest that is applied";
    case "autoscaler":
      return "name the autoscaler in spec.autoscaler of the ElastiService";
    default:
      return `leave spec.replicas out of what is applied, name an autoscaler in spec.autoscaler; in Argo CD ${argoRule(contested, "/spec/replicas")}`;
  }
}

const untouched = "or set spec.routing.mode: EndpointSlice in the ElastiService, which never touches the Service";

function selectorRule(tool: Tool, contested: ContestedField): string {
  switch (tool) {
    case "argo-cd":
      return `${argoRule(contested, parkPointer)}; ${untouched}`;
    case "kustomize-controller":
      return `annotate the Service with kustomize.toolkit.fluxcd.io/ssa: IfNotPresent; ${untouched}`;
    case "helm":
      return `install with client-side apply (helm 4: --server-side=false); ${untouched}`;
    case "kubectl":
      return `use client-side kubectl apply, which leaves other keys alone, not replace and not --force-conflicts; ${untouched}`;
    default:
      return `apply without force and without replacing the whole Service; in Argo CD ${argoRule(contested, parkPointer)}; ${untouched}`;
  }
}

/** By pointer and not by managedFieldsManagers: at zero the API server records no manager of replicas, and selector has one owner. */
function argoRule({ resource: { group, kind }, name }: ContestedField, pointer: string): string {
  const where = `${group === "" ? "" : `group: ${group}, `}kind: ${kind}, name: ${name}`;
  return `add ignoreDifferences: [{${where}, jsonPointers: [${pointer}]}] and syncOptions: [RespectIgnoreDifferences=true]`;
}

/** Why Argo Rollouts keeps the park from being used. */
export const rolloutNote = (service: string, countsTraffic: boolean): string =>
  `Argo Rollouts refuses a Service whose selector has a key that the pods have not, and the Rollout names ${service}: it is led by EndpointSlices alone, its selector is not touched${
    countsTraffic
      ? `; so traffic passes the resolvers by, and a ${GROUP} trigger of type prometheus is needed to sleep`
      : ""
  }`;
