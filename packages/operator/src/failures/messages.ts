/** What the texts of Kubernetes and of container runtimes mean. Nothing but their words tells some of these cases apart. */

/**
 * The registry has said that there is no such image. A refusal of access is no such answer, even where it adds that the repository
 * may not exist: credentials can be late.
 *   containerd: rpc error: code = NotFound desc = failed to pull and unpack image "...": ...: not found
 *   CRI-O:      reading manifest latest in quay.io/team/app: manifest unknown (or: name unknown: repository not found)
 *   cri-dockerd: Error response from daemon: manifest for app:9 not found: manifest unknown: manifest unknown
 */
export function isImageNotFound(message: string): boolean {
  return /\bcode = NotFound\b|\bmanifest unknown\b|\bname unknown\b|\bmanifest for \S+ not found\b/i.test(message);
}

/** Why a pod was not made. `repairable`: what refuses it may be gone by itself in a moment. */
export interface CreateRefusal {
  readonly kind: "quota" | "refused" | "error";
  readonly repairable: boolean;
}

/**
 * Reads the API server's answer to a controller that wanted to make a pod.
 *   pods "web-1" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=4, limited: pods=4
 *   pods "web-1" is forbidden: failed quota: compute: must specify limits.cpu for: app
 *   pods "web-1" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (...)
 *   admission webhook "validate.kyverno.svc" denied the request: ...
 *   pods "web-1" is forbidden: error looking up service account default/web: serviceaccount "web" not found
 *   Internal error occurred: failed calling webhook "x": failed to call webhook: ... connect: connection refused
 */
export function createRefusalOf(message: string): CreateRefusal {
  if (/\b(exceeded|failed) quota:/i.test(message)) return { kind: "quota", repairable: false };
  const refused = /\bis forbidden:|\bis invalid:|\bdenied (the )?request\b/i.test(message);
  if (!refused) return { kind: "error", repairable: true };
  const repairable =
    /error looking up service account|status unknown for quota|not yet ready to handle request|being terminated/i.test(
      message,
    );
  return { kind: "refused", repairable };
}
