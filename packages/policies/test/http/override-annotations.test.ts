import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ElastiError } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { createKubeClient, type KubeResponse } from "@elasti/kube";
import { OverrideAnnotations } from "../../src/access/override-annotations.ts";
import { problemReply } from "../../src/http/replies.ts";

const clock = new ManualClock(Date.UTC(2026, 4, 4, 12));
const target = { namespace: "shop", kind: "Deployment", name: "web" };
const override = { kind: "pause", until: "2026-05-05T08:00:00Z", untilMs: clock.now() + 1, by: "ann" } as const;

/** What comes of an override where the API server answers so. */
async function failureOf(message: string, kind = target.kind): Promise<ElastiError> {
  const answer: KubeResponse = { status: 403, body: { kind: "Status", reason: "Forbidden", message, code: 403 } };
  const cluster = { server: "http://127.0.0.1:1", token: async () => "t" };
  const client = createKubeClient({ cluster, transport: async () => answer });
  try {
    await new OverrideAnnotations(client, clock).put({ ...target, kind }, override);
  } catch (error) {
    assert.ok(error instanceof ElastiError, String(error));
    return error;
  } finally {
    await client.close();
  }
  throw new Error("it was written");
}

describe("an override that the operator may not write", () => {
  it("is refused by the right that is missing, which nobody gets by asking again", async () => {
    const error = await failureOf(`deployments.apps "web" is forbidden: User "o" cannot patch resource "deployments"`);
    assert.match(error.message, /may not patch deployments\.apps in namespace shop/);
    const { status, headers, body } = problemReply(error, "/");
    assert.deepEqual([status, body.reason, headers["retry-after"]], [503, "ELASTI_POLICY_NOT_GRANTED", undefined]);
    const own = await failureOf(`elastiservices "web" is forbidden: User "o" cannot patch resource`, "ElastiService");
    assert.match(own.message, /may not patch elastiservices\.elasti\.truefoundry\.com in namespace shop/);
  });

  it("is told as what it is where no right is missing", async () => {
    const error = await failureOf('deployments.apps "web" is forbidden: exceeded quota: compute');
    assert.equal(error.code, "ELASTI_KUBE_FORBIDDEN");
  });
});
