import { createHash, timingSafeEqual } from "node:crypto";
import { AnswerCache, type Clock, ElastiError, errorText, type Logger } from "@elasti/core";
import type { ReviewedToken } from "@elasti/kube";
import { policyErrors } from "../errors.ts";
import type { Caller, Callers } from "../service/access.ts";

/** Asks the API server whose a token is. */
export interface TokenReviewer {
  review(token: string, audiences: readonly string[]): Promise<ReviewedToken>;
}

export interface CallersOptions {
  /** Audiences that a token may be meant for; none: the API server's own. */
  readonly audiences: readonly string[];
  /** The token of this installation; empty: there is none. */
  readonly staticToken: string;
  readonly positiveMs?: number;
  readonly negativeMs?: number;
  readonly maxEntries?: number;
  /** Reviews under way at once. */
  readonly maxPending?: number;
}

const digestOf = (token: string): Buffer => createHash("sha256").update(token).digest();

/** Knows callers by their token: the one of the installation, or one that the API server reviews. Never logs a token. */
export class TokenCallers implements Callers {
  readonly #reviewer: TokenReviewer | undefined;
  readonly #logger: Logger;
  readonly #audiences: readonly string[];
  readonly #staticDigest: Buffer | undefined;
  readonly #answers: AnswerCache<Caller | string>;

  /** @param deps.reviewer left out where no token is reviewed: then only the token of the installation is good */
  constructor(deps: { reviewer?: TokenReviewer; clock: Clock; logger: Logger }, options: CallersOptions) {
    this.#reviewer = deps.reviewer;
    this.#logger = deps.logger;
    this.#audiences = options.audiences;
    this.#staticDigest = options.staticToken === "" ? undefined : digestOf(options.staticToken);
    const { positiveMs = 60_000, negativeMs = 5_000 } = options;
    this.#answers = new AnswerCache<Caller | string>(deps.clock, {
      keepMs: (answer) => (typeof answer === "string" ? negativeMs : positiveMs),
      renews: (answer) => typeof answer !== "string",
      maxEntries: options.maxEntries ?? 1_024,
      maxPending: options.maxPending ?? 32,
      busy: () => policyErrors.ELASTI_POLICY_ACCESS_UNKNOWN("too many tokens are under review"),
    });
  }

  async identify(authorization: string | undefined): Promise<Caller> {
    const token = /^bearer +([^\s]+) *$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) {
      throw policyErrors.ELASTI_POLICY_UNAUTHENTICATED("send `Authorization: Bearer <token>`");
    }
    const digest = digestOf(token);
    if (this.#staticDigest !== undefined && timingSafeEqual(this.#staticDigest, digest)) return holder;
    const reviewer = this.#reviewer;
    if (reviewer === undefined) throw policyErrors.ELASTI_POLICY_UNAUTHENTICATED("the token is not the one set here");
    const answer = await this.#answers.get(digest.toString("base64"), () => this.#review(reviewer, token));
    if (typeof answer === "string") throw policyErrors.ELASTI_POLICY_UNAUTHENTICATED(answer);
    return answer;
  }

  /** @returns why not, where the token is not accepted */
  async #review(reviewer: TokenReviewer, token: string): Promise<Caller | string> {
    try {
      const { authenticated, username, groups, uid, extra } = await reviewer.review(token, this.#audiences);
      if (!authenticated || username === undefined) {
        const meant = this.#audiences.length === 0 ? "" : ` for audience ${this.#audiences.join(" or ")}`;
        return `the API server does not accept the token${meant}`;
      }
      return { name: username, subject: { username, groups, uid, extra } };
    } catch (error) {
      const reason = error instanceof ElastiError ? error.code : "internal";
      this.#logger.warn({ reason, error: errorText(error) }, "token could not be reviewed");
      throw policyErrors.ELASTI_POLICY_ACCESS_UNKNOWN("the API server could not be asked about the token", {
        cause: error,
      });
    }
  }
}

/** Whoever holds the token of the installation. */
const holder: Caller = { name: "elasti:token" };
