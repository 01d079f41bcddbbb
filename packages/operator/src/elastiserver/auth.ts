import { createHash, timingSafeEqual } from "node:crypto";
import { AnswerCache, type Clock, ElastiError, errorText, type Logger } from "@elasti/core";
import { operatorErrors } from "../errors.ts";

/** What `reviewToken` of the Kubernetes access package gives. */
export interface TokenReviewer {
  /** Asks the API server who a token belongs to. Throws when it cannot be asked. */
  review(token: string, audiences: readonly string[]): Promise<TokenVerdict>;
}

export interface TokenVerdict {
  readonly authenticated: boolean;
  /** e.g. `system:serviceaccount:elasti:elasti-resolver`. */
  readonly username?: string | undefined;
  /** Why not, in the API server's words. */
  readonly error?: string | undefined;
}

export type AuthOutcome =
  | { readonly ok: true; readonly account: string }
  | { readonly ok: false; readonly error: ElastiError };

/** Says who sent a request. Never throws, never logs a token. */
export interface Authenticator {
  /** @param authorization value of the Authorization header */
  authenticate(authorization: string | undefined): Promise<AuthOutcome>;
}

/** The audience that resolvers ask their tokens for. */
export const TOKEN_AUDIENCE = "elasti-operator";

/** The account of the resolvers that are installed beside the operator. */
export const defaultAccount = (namespace: string): string => `system:serviceaccount:${namespace}:elasti-resolver`;

const digestOf = (token: string): Buffer => createHash("sha256").update(token).digest();

/** The token of `Bearer <token>`, or undefined. */
function bearerToken(authorization: string | undefined): string | undefined {
  const match = /^bearer +([^\s]+) *$/i.exec(authorization ?? "");
  return match?.[1];
}

const noToken = (): AuthOutcome => ({
  ok: false,
  error: operatorErrors.ELASTI_NO_TOKEN("send `Authorization: Bearer <service account token>`"),
});

const badToken = (why: string): AuthOutcome => ({ ok: false, error: operatorErrors.ELASTI_BAD_TOKEN(why) });

/** Whether an account is one of the allowed ones. */
class Allowed {
  readonly #accounts: ReadonlySet<string>;

  constructor(accounts: readonly string[]) {
    this.#accounts = new Set(accounts);
  }

  outcome(account: string): AuthOutcome {
    if (this.#accounts.has(account)) return { ok: true, account };
    const message = `${account} is not among the allowed accounts (ELASTI_ALLOWED_ACCOUNTS)`;
    return { ok: false, error: operatorErrors.ELASTI_ACCOUNT_NOT_ALLOWED(message) };
  }
}

/** A fixed table of tokens, for clusters that review none (the embedded one). */
export class StaticAuthenticator implements Authenticator {
  readonly #entries: readonly { digest: Buffer; account: string }[];
  readonly #allowed: Allowed;

  /** @param tokens account by token */
  constructor(tokens: Readonly<Record<string, string>>, allowedAccounts: readonly string[]) {
    this.#entries = Object.entries(tokens).map(([token, account]) => ({ digest: digestOf(token), account }));
    this.#allowed = new Allowed(allowedAccounts);
  }

  authenticate(authorization: string | undefined): Promise<AuthOutcome> {
    const token = bearerToken(authorization);
    if (token === undefined) return Promise.resolve(noToken());
    const digest = digestOf(token);
    let account: string | undefined;
    // all entries are compared whatever the first ones say, so that time tells nothing
    for (const entry of this.#entries) if (timingSafeEqual(entry.digest, digest)) account = entry.account;
    return Promise.resolve(account === undefined ? badToken("the token is unknown") : this.#allowed.outcome(account));
  }
}

/** Reviews tokens with the API server. Answers are kept by the hash of the token, and a token under review is asked once. */
export class TokenReviewAuthenticator implements Authenticator {
  readonly #reviewer: TokenReviewer;
  readonly #allowed: Allowed;
  readonly #logger: Logger;
  readonly #outcomes: AnswerCache<AuthOutcome>;

  constructor(
    deps: { reviewer: TokenReviewer; clock: Clock; logger: Logger },
    options: {
      allowedAccounts: readonly string[];
      positiveMs?: number;
      negativeMs?: number;
      maxEntries?: number;
      /** Reviews under way at once; a flood of made-up tokens costs the API server no more. */
      maxPending?: number;
    },
  ) {
    this.#reviewer = deps.reviewer;
    this.#logger = deps.logger;
    this.#allowed = new Allowed(options.allowedAccounts);
    const { positiveMs = 60_000, negativeMs = 5_000 } = options;
    this.#outcomes = new AnswerCache(deps.clock, {
      keepMs: ({ ok }) => (ok ? positiveMs : negativeMs),
      renews: ({ ok }) => ok,
      maxEntries: options.maxEntries ?? 1_024,
      maxPending: options.maxPending ?? 32,
      busy: () => operatorErrors.ELASTI_TOKEN_REVIEW_UNAVAILABLE("too many tokens are under review"),
    });
  }

  async authenticate(authorization: string | undefined): Promise<AuthOutcome> {
    const token = bearerToken(authorization);
    if (token === undefined) return noToken();
    try {
      return await this.#outcomes.get(digestOf(token).toString("base64"), () => this.#review(token));
    } catch (error) {
      if (error instanceof ElastiError) return { ok: false, error };
      throw error;
    }
  }

  /** @throws ELASTI_TOKEN_REVIEW_UNAVAILABLE, so that it is not remembered */
  async #review(token: string): Promise<AuthOutcome> {
    try {
      const verdict = await this.#reviewer.review(token, [TOKEN_AUDIENCE]);
      if (!verdict.authenticated || verdict.username === undefined) {
        return badToken(`the API server does not accept it for audience ${TOKEN_AUDIENCE}`);
      }
      return this.#allowed.outcome(verdict.username);
    } catch (error) {
      this.#logger.warn({ reason: "token-review-unavailable", error: errorText(error) }, "token could not be reviewed");
      throw operatorErrors.ELASTI_TOKEN_REVIEW_UNAVAILABLE("the API server could not be asked about the token", {
        cause: error,
      });
    }
  }
}
