import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLogger, silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import {
  StaticAuthenticator,
  TOKEN_AUDIENCE,
  TokenReviewAuthenticator,
  type TokenVerdict,
} from "../src/elastiserver/auth.ts";

const account = "system:serviceaccount:elasti:elasti-resolver";

function setUp(
  options: { answer?: (token: string) => Promise<TokenVerdict>; maxEntries?: number; maxPending?: number } = {},
) {
  const clock = new ManualClock();
  const asked: { token: string; audiences: readonly string[] }[] = [];
  const answer = options.answer ?? (async () => ({ authenticated: true, username: account }));
  const { answer: _, ...bounds } = options;
  const authenticator = new TokenReviewAuthenticator(
    {
      clock,
      logger: silentLogger,
      reviewer: {
        review: (token, audiences) => {
          asked.push({ token, audiences });
          return answer(token);
        },
      },
    },
    { allowedAccounts: [account], ...bounds },
  );
  const reason = async (header: string | undefined) => {
    const outcome = await authenticator.authenticate(header);
    return outcome.ok ? outcome.account : outcome.error.code;
  };
  return { clock, asked, reason, authenticator };
}

describe("TokenReviewAuthenticator", () => {
  it("wants a bearer token", async () => {
    const { reason, asked } = setUp();
    for (const header of [undefined, "", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer a b"]) {
      assert.equal(await reason(header), "ELASTI_NO_TOKEN", String(header));
    }
    assert.equal(asked.length, 0);
  });

  it("asks for the operator's audience, once in a minute", async () => {
    const { reason, asked, clock } = setUp();
    assert.equal(await reason("Bearer t1"), account);
    assert.equal(await reason("bearer t1"), account);
    assert.deepEqual(asked, [{ token: "t1", audiences: [TOKEN_AUDIENCE] }]);
    await clock.advance(60_000);
    await reason("Bearer t1");
    assert.equal(asked.length, 2);
  });

  it("asks again in the background once half of the minute is over, so that nobody who keeps asking waits", async () => {
    let verdict: Promise<TokenVerdict> = Promise.resolve({ authenticated: true, username: account });
    const { reason, asked, clock } = setUp({ answer: () => verdict });
    assert.equal(await reason("Bearer t1"), account);
    await clock.advance(29_000);
    await reason("Bearer t1");
    assert.equal(asked.length, 1);
    await clock.advance(1_000);
    const review = Promise.withResolvers<TokenVerdict>();
    verdict = review.promise;
    assert.equal(await reason("Bearer t1"), account);
    assert.equal(await reason("Bearer t1"), account);
    assert.equal(asked.length, 2);
    review.resolve({ authenticated: true, username: account });
    await clock.advance(59_000);
    // the answer that came in between is the one that counts
    assert.equal(await reason("Bearer t1"), account);
    assert.equal(asked.length, 3);
  });

  it("refuses a token once it is no longer accepted in the background", async () => {
    let authenticated = true;
    const { reason, clock } = setUp({ answer: async () => ({ authenticated, username: account }) });
    assert.equal(await reason("Bearer t1"), account);
    authenticated = false;
    await clock.advance(30_000);
    assert.equal(await reason("Bearer t1"), account);
    await clock.advance(1);
    assert.equal(await reason("Bearer t1"), "ELASTI_BAD_TOKEN");
  });

  it("remembers a no for five seconds", async () => {
    const { reason, asked, clock } = setUp({ answer: async () => ({ authenticated: false }) });
    assert.equal(await reason("Bearer t1"), "ELASTI_BAD_TOKEN");
    assert.equal(await reason("Bearer t1"), "ELASTI_BAD_TOKEN");
    assert.equal(asked.length, 1);
    await clock.advance(5_000);
    await reason("Bearer t1");
    assert.equal(asked.length, 2);
  });

  it("refuses other accounts", async () => {
    const { reason } = setUp({ answer: async () => ({ authenticated: true, username: "system:admin" }) });
    assert.equal(await reason("Bearer t1"), "ELASTI_ACCOUNT_NOT_ALLOWED");
  });

  it("asks once for a token that many send at the same time", async () => {
    const gate = Promise.withResolvers<TokenVerdict>();
    const { reason, asked } = setUp({ answer: () => gate.promise });
    const all = Array.from({ length: 50 }, () => reason("Bearer t1"));
    gate.resolve({ authenticated: true, username: account });
    assert.deepEqual(new Set(await Promise.all(all)), new Set([account]));
    assert.equal(asked.length, 1);
  });

  it("does not remember that the API server was away", async () => {
    let up = false;
    const answer = async () => {
      if (!up) throw new Error("connect ECONNREFUSED");
      return { authenticated: true, username: account };
    };
    const { reason } = setUp({ answer });
    assert.equal(await reason("Bearer t1"), "ELASTI_TOKEN_REVIEW_UNAVAILABLE");
    up = true;
    assert.equal(await reason("Bearer t1"), account);
  });

  it("bounds reviews under way and what it remembers", async () => {
    const gate = Promise.withResolvers<TokenVerdict>();
    const flood = setUp({ answer: () => gate.promise, maxPending: 2 });
    const first = [flood.reason("Bearer a"), flood.reason("Bearer b")];
    assert.equal(await flood.reason("Bearer c"), "ELASTI_TOKEN_REVIEW_UNAVAILABLE");
    gate.resolve({ authenticated: true, username: account });
    await Promise.all(first);

    const small = setUp({ maxEntries: 2 });
    for (const token of ["a", "b", "a", "c", "a", "b"]) await small.reason(`Bearer ${token}`);
    assert.deepEqual(
      small.asked.map(({ token }) => token),
      ["a", "b", "c", "b"],
    );
  });

  it("writes no token into the log", async () => {
    const lines: string[] = [];
    const logger = createLogger({ name: "test", level: "trace" }, { write: (line) => lines.push(line) });
    const authenticator = new TokenReviewAuthenticator(
      { clock: new ManualClock(), logger, reviewer: { review: async () => Promise.reject(new Error("no route")) } },
      { allowedAccounts: [account] },
    );
    const outcome = await authenticator.authenticate("Bearer very-secret");
    assert.ok(!outcome.ok);
    assert.equal(lines.length, 1);
    assert.doesNotMatch(lines.join("") + JSON.stringify(outcome), /very-secret/);
  });
});

describe("StaticAuthenticator", () => {
  it("knows its tokens and the allowed accounts", async () => {
    const authenticator = new StaticAuthenticator({ one: account, two: "someone" }, [account]);
    const code = async (header?: string) => {
      const outcome = await authenticator.authenticate(header);
      return outcome.ok ? outcome.account : outcome.error.code;
    };
    assert.equal(await code("Bearer one"), account);
    assert.equal(await code("Bearer two"), "ELASTI_ACCOUNT_NOT_ALLOWED");
    assert.equal(await code("Bearer on"), "ELASTI_BAD_TOKEN");
    assert.equal(await code(), "ELASTI_NO_TOKEN");
  });
});
