import { createPublicKey, type KeyObject, verify, type webcrypto } from "node:crypto";
import type { Clock } from "@elasti/core";
import type { ReviewedToken } from "./token-review.ts";
import type { CallOptions, KubeClient } from "./types.ts";

interface KeySet {
  readonly keys?: readonly (webcrypto.JsonWebKey & { readonly kid?: string })[];
}

interface Claims {
  readonly sub?: unknown;
  readonly aud?: unknown;
  readonly exp?: unknown;
  readonly nbf?: unknown;
}

/** What the API server signs with, by the name in a token's head; `none` and shared secrets are not among them. */
const algorithms: Readonly<Record<string, { readonly digest: string; readonly type: "rsa" | "ec" }>> = {
  RS256: { digest: "sha256", type: "rsa" },
  RS384: { digest: "sha384", type: "rsa" },
  RS512: { digest: "sha512", type: "rsa" },
  ES256: { digest: "sha256", type: "ec" },
  ES384: { digest: "sha384", type: "ec" },
  ES512: { digest: "sha512", type: "ec" },
};

const maxKeys = 32;

/**
 * Checks tokens of service accounts by the public keys that the API server gives to every account, where no token may be reviewed:
 * that right is one for the whole cluster. A token of a pod or an account that is gone is good until it expires.
 */
export class TokenKeys {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #missIntervalMs: number;
  #keys = new Map<string, KeyObject>();
  #asked: { readonly atMs: number; readonly keys: Promise<void> } | undefined;

  /** @param options.missIntervalMs keys that are not known are asked for again after so long, and not sooner */
  constructor(deps: { client: KubeClient; clock: Clock }, options: { missIntervalMs?: number } = {}) {
    this.#client = deps.client;
    this.#clock = deps.clock;
    this.#missIntervalMs = options.missIntervalMs ?? 10_000;
  }

  /** As `reviewToken`. @throws what the API server says when it gives no keys */
  async review(token: string, audiences: readonly string[], options: CallOptions = {}): Promise<ReviewedToken> {
    const parts = token.split(".");
    const [head, body, signature] = parts;
    if (parts.length !== 3 || head === undefined || body === undefined || signature === undefined)
      return refused("not a token of a service account");
    const { alg, kid } = fieldsOf(head) as { alg?: unknown; kid?: unknown };
    const algorithm = typeof alg === "string" && Object.hasOwn(algorithms, alg) ? algorithms[alg] : undefined;
    if (algorithm === undefined || typeof kid !== "string") return refused("signed in a way that is not accepted");
    const key = await this.#keyOf(kid, options);
    if (key === undefined || key.asymmetricKeyType !== algorithm.type) return refused("signed with an unknown key");
    const signed = verify(
      algorithm.digest,
      Buffer.from(`${head}.${body}`),
      { key, dsaEncoding: "ieee-p1363" },
      Buffer.from(signature, "base64url"),
    );
    return signed ? this.#judge(fieldsOf(body), audiences) : refused("the signature is wrong");
  }

  #judge({ sub, aud, exp, nbf }: Claims, audiences: readonly string[]): ReviewedToken {
    const nowSeconds = this.#clock.now() / 1_000;
    if (typeof exp !== "number" || exp <= nowSeconds) return refused("the token has expired");
    if (typeof nbf === "number" && nbf > nowSeconds + allowedSkewSeconds) return refused("the token is not valid yet");
    if (typeof sub !== "string" || !/^system:serviceaccount:[^:]+:[^:]+$/.test(sub))
      return refused("not a token of a service account");
    const given = Array.isArray(aud) ? aud : [aud];
    const meant = audiences.filter((audience) => given.includes(audience));
    if (meant.length === 0) return refused("token is meant for another audience");
    const [, , namespace = ""] = sub.split(":");
    const groups = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"];
    return { authenticated: true, username: sub, groups, audiences: meant, error: undefined };
  }

  async #keyOf(kid: string, options: CallOptions): Promise<KeyObject | undefined> {
    const known = this.#keys.get(kid);
    if (known !== undefined) return known;
    const now = this.#clock.monotonic();
    if (this.#asked === undefined || now - this.#asked.atMs >= this.#missIntervalMs) {
      const keys = this.#read(options);
      this.#asked = { atMs: now, keys };
      // no answer is no news: the next token asks again
      keys.catch(() => {
        if (this.#asked?.keys === keys) this.#asked = undefined;
      });
    }
    await this.#asked.keys;
    return this.#keys.get(kid);
  }

  async #read(options: CallOptions): Promise<void> {
    const { keys = [] } = (await this.#client.raw<KeySet>("GET", "/openid/v1/jwks", undefined, options)) ?? {};
    this.#keys = new Map(keys.slice(0, maxKeys).flatMap(named));
  }
}

/** A key with its name; nothing for one that is of no use here. */
function named(key: webcrypto.JsonWebKey & { readonly kid?: string }): [string, KeyObject][] {
  if (key.kid === undefined) return [];
  try {
    return [[key.kid, createPublicKey({ key, format: "jwk" })]];
  } catch {
    return [];
  }
}

/** Between the clocks of this node and the API server's. */
const allowedSkewSeconds = 60;

/** The JSON object of a part of a token; empty where it is none. */
function fieldsOf(part: string): object {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

const refused = (error: string): ReviewedToken => ({
  authenticated: false,
  username: undefined,
  groups: [],
  audiences: [],
  error,
});
