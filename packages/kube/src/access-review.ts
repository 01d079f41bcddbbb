import type { CallOptions, KubeClient } from "./types.ts";

/** Somebody that the API server knows, as a token review tells. */
export interface Subject {
  readonly username: string;
  readonly groups: readonly string[];
  readonly uid?: string | undefined;
  /** What an authenticator or authorizer of the cluster's own adds. */
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
}

/** What somebody wants to do. */
export interface AccessQuestion {
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Left out: in every namespace. */
  readonly namespace?: string;
  readonly name?: string;
}

interface AccessReview {
  readonly status?: { readonly allowed?: boolean; readonly denied?: boolean; readonly reason?: string };
}

/**
 * Asks the API server's authorizer whether somebody may do something.
 * @param options.local asks in the namespace of the question, for which a Role is right enough; a question about every namespace is
 * then answered no
 * @throws what the API server says when it cannot be asked, or when the operator may not ask
 */
export async function reviewAccess(
  client: KubeClient,
  subject: Subject,
  question: AccessQuestion,
  options: CallOptions & { local?: boolean } = {},
): Promise<{ readonly allowed: boolean; readonly reason: string | undefined }> {
  const { local = false, ...call } = options;
  const { namespace } = question;
  if (local && namespace === undefined) {
    return { allowed: false, reason: "rights in every namespace are not looked at here" };
  }
  const { username, groups, uid, extra } = subject;
  const review = await client.raw<AccessReview>(
    "POST",
    local
      ? `/apis/authorization.k8s.io/v1/namespaces/${encodeURIComponent(namespace ?? "")}/localsubjectaccessreviews`
      : "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    {
      apiVersion: "authorization.k8s.io/v1",
      kind: local ? "LocalSubjectAccessReview" : "SubjectAccessReview",
      ...(local ? { metadata: { namespace } } : {}),
      spec: { user: username, groups, uid, extra, resourceAttributes: question },
    },
    call,
  );
  const { allowed = false, denied = false, reason } = review?.status ?? {};
  return { allowed: allowed && !denied, reason: reason === "" ? undefined : reason };
}
