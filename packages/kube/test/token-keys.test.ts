import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { describe, it } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { type KubeClient, TokenKeys } from "../src/index.ts";

const account = "system:serviceaccount:elasti:elasti-resolver";
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function token(claims: object, head: { alg: string; kid?: string }, key: KeyObject): string {
  const text = `${part(head)}.${part(claims)}`;
  const signature = sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}

function setUp(jwks: () => Promise<object>) {
  const clock = new ManualClock();
  let asked = 0;
  const client = {
    raw: async (method: string, path: string) => {
      assert.equal(`${method} ${path}`, "GET /openid/v1/jwks");
      asked += 1;
      return await jwks();
    },
  } as unknown as KubeClient;
  const keys = new TokenKeys({ client, clock });
  const nowSeconds = Math.floor(clock.now() / 1_000);
  const claims = { sub: account, aud: ["elasti-operator"], exp: nowSeconds + 3_600, nbf: nowSeconds };
  const verdict = async (text: string) => {
    const { username, error } = await keys.review(text, ["elasti-operator"]);
    return username ?? error;
  };
  return { clock, claims, verdict, asked: () => asked };
}

const published = [
  { ...rsa.publicKey.export({ format: "jwk" }), kid: "r" },
  { ...ec.publicKey.export({ format: "jwk" }), kid: "e" },
  { kty: "OKP", crv: "of the future", kid: "odd" },
];

describe("tokens checked by the API server's keys", () => {
  it("are those of an account, for the audience, in time, and the keys are read once", async () => {
    const { verdict, claims, asked } = setUp(async () => ({ keys: published }));
    assert.equal(await verdict(token(claims, { alg: "RS256", kid: "r" }, rsa.privateKey)), account);
    assert.equal(await verdict(token(claims, { alg: "ES256", kid: "e" }, ec.privateKey)), account);
    assert.equal(asked(), 1);
  });

  it("are refused for what they say", async () => {
    const { verdict, claims, clock } = setUp(async () => ({ keys: published }));
    const signed = (more: object) => token({ ...claims, ...more }, { alg: "RS256", kid: "r" }, rsa.privateKey);
    assert.match((await verdict(signed({ aud: ["another"] })))!, /another audience/);
    assert.match((await verdict(signed({ aud: undefined })))!, /another audience/);
    assert.match((await verdict(signed({ exp: claims.nbf }))) ?? "", /expired/);
    assert.match((await verdict(signed({ exp: undefined }))) ?? "", /expired/);
    assert.match((await verdict(signed({ nbf: claims.nbf + 600 }))) ?? "", /not valid yet/);
    assert.match((await verdict(signed({ sub: "system:admin" }))) ?? "", /not a token of a service account/);
    const good = signed({});
    await clock.advance(3_601_000);
    assert.match((await verdict(good)) ?? "", /expired/);
  });

  it("are refused for how they are signed", async () => {
    const { verdict, claims } = setUp(async () => ({ keys: published }));
    const good = token(claims, { alg: "RS256", kid: "r" }, rsa.privateKey);
    const [head, , signature] = good.split(".");
    assert.match((await verdict(`${head}.${part({ ...claims, sub: `${account}2` })}.${signature}`)) ?? "", /wrong/);
    assert.match((await verdict(`${part({ alg: "none", kid: "r" })}.${part(claims)}.`)) ?? "", /not accepted/);
    assert.match((await verdict(`${part({ alg: "HS256", kid: "r" })}.${part(claims)}.eA`)) ?? "", /not accepted/);
    assert.match((await verdict(token(claims, { alg: "RS256", kid: "e" }, rsa.privateKey))) ?? "", /unknown key/);
    assert.match((await verdict(token(claims, { alg: "RS256", kid: "odd" }, rsa.privateKey))) ?? "", /unknown key/);
    for (const junk of ["", "a", "a.b", "a.b.c", "a.b.c.d", `${part(null)}.${part([])}.x`])
      assert.match((await verdict(junk)) ?? "", /not a token|not accepted/, junk);
  });

  it("are known after the keys were changed, which made-up names do not make it ask for", async () => {
    let keys: object[] = [];
    const { verdict, claims, clock, asked } = setUp(async () => ({ keys }));
    const good = token(claims, { alg: "RS256", kid: "r" }, rsa.privateKey);
    assert.match((await verdict(good)) ?? "", /unknown key/);
    keys = published;
    assert.match((await verdict(good)) ?? "", /unknown key/);
    assert.equal(asked(), 1);
    await clock.advance(10_000);
    assert.equal(await verdict(good), account);
    assert.equal(asked(), 2);
  });

  it("are not judged while the API server gives no keys", async () => {
    let down = true;
    const { verdict, claims } = setUp(async () => {
      if (down) throw new Error("down");
      return { keys: published };
    });
    const good = token(claims, { alg: "RS256", kid: "r" }, rsa.privateKey);
    await assert.rejects(verdict(good), /down/);
    down = false;
    assert.equal(await verdict(good), account);
  });
});
