import { type ApiObject, asArray, asObject, type JsonObject } from "./json.ts";
import { podKind } from "./kinds/pods.ts";
import type { Objects } from "./objects.ts";
import { badRequest, conflict, type StatusBody } from "./status-error.ts";

const bindings = { ...podKind.resource, plural: "pods/binding", kind: "Binding" };

/** POST of a Binding: the one way by which a pod gets its node after it was created. Throws 409 when it has one. */
export function bindPod(
  objects: Objects,
  namespace: string | undefined,
  name: string,
  binding: JsonObject,
): StatusBody {
  const pod = objects.get(podKind, namespace, name);
  const { uid } = asObject(binding.metadata);
  if (typeof uid === "string" && uid !== "" && uid !== pod.metadata.uid) {
    const text = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata.uid}`;
    throw conflict(bindings, name, text);
  }
  const node = asObject(binding.target).name;
  if (typeof node !== "string" || node === "") throw badRequest("a Binding must name its target node");
  const spec = asObject(pod.spec);
  if (pod.metadata.deletionTimestamp !== undefined) {
    throw conflict(bindings, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  }
  if (typeof spec.nodeName === "string" && spec.nodeName !== "") {
    throw conflict(bindings, name, `pod ${name} is already assigned to node ${JSON.stringify(spec.nodeName)}`);
  }
  objects.commitOwn(podKind, {
    ...pod,
    spec: { ...spec, nodeName: node },
    status: scheduled(pod, objects.timestamp()),
  });
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
}

function scheduled(pod: ApiObject, time: string): JsonObject {
  const status = asObject(pod.status);
  const others = asArray(status.conditions).filter((condition) => asObject(condition).type !== "PodScheduled");
  const condition = { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: time };
  return { ...status, conditions: [...others, condition] };
}
