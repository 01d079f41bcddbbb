import type { CallOptions, KubeClient } from "./types.ts";

export interface ReviewedToken {
  readonly authenticated: boolean;
  /** `system:serviceaccount:<namespace>:<name>` for a service account. */
  readonly username: string | undefined;
  readonly groups: readonly string[];
  readonly uid?: string | undefined;
  /** What authenticators add, such as the scopes of a token; an authorizer may look at it. */
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Those of the audiences asked for that the token is meant for. */
  readonly audiences: readonly string[];
  /** Why it is not accepted, where the API server says so. */
  readonly error: string | undefined;
}

interface TokenReview {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: {
      readonly username?: string;
      readonly groups?: string[];
      readonly uid?: string;
      readonly extra?: Record<string, string[]>;
    };
    readonly audiences?: string[];
    readonly error?: string;
  };
}

/**
 * Asks the API server whose token this is. A token for other audiences is not authenticated, also where the server knows
 * nothing of audiences and leaves them out of its answer.
 */
export async function reviewToken(
  client: KubeClient,
  token: string,
  audiences: readonly string[],
  options: CallOptions = {},
): Promise<ReviewedToken> {
  const review = await client.raw<TokenReview>(
    "POST",
    "/apis/authentication.k8s.io/v1/tokenreviews",
    { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences } },
    options,
  );
  const { authenticated = false, user, audiences: granted = [], error } = review?.status ?? {};
  const meant = granted.filter((audience) => audiences.includes(audience));
  const accepted = authenticated && (audiences.length === 0 || meant.length > 0);
  return {
    authenticated: accepted,
    username: accepted ? user?.username : undefined,
    groups: accepted ? (user?.groups ?? []) : [],
    ...(accepted ? { uid: user?.uid, extra: user?.extra } : {}),
    audiences: meant,
    error: accepted ? undefined : error || (authenticated ? "token is meant for another audience" : undefined),
  };
}
