import assert from "node:assert/strict";
import { it } from "node:test";
import { errorOfAnswer } from "@elasti/kube";
import { scaleErrorOf } from "@elasti/scaling";
import { operatorErrors } from "../../src/errors.ts";
import { failureOf, isRefused } from "../../src/lifecycle/failure.ts";

const said =
  'deployments.apps "web" is forbidden: User "elasti" cannot patch resource "deployments/scale" in API group "apps" in the namespace "default"';
const refused = (message: string) =>
  errorOfAnswer(
    {
      verb: "patch",
      path: "/apis/apps/v1/namespaces/default/deployments/web/scale",
      resource: { plural: "deployments", group: "apps" },
      subresource: "scale",
      namespace: "default",
      name: "web",
    },
    403,
    { kind: "Status", apiVersion: "v1", status: "Failure", code: 403, reason: "Forbidden", message },
  );

it("names the right that is missing, however the refusal is wrapped", () => {
  for (const error of [refused(said), scaleErrorOf(refused(said), "deployments.apps default/web")]) {
    const failure = failureOf(error);
    assert.equal(failure.reason, "PermissionMissing");
    assert.deepEqual(failure.missing, { verb: "patch", resource: "deployments/scale", apiGroup: "apps" });
    assert.match(
      failure.message,
      /^grant patch on deployments\/scale in API group "apps" to the operator: .*cannot patch/,
    );
    assert.equal(isRefused(error), true);
  }
});

it("takes no quota for a right that is missing", () => {
  const failure = failureOf(refused('pods "web" is forbidden: exceeded quota: small'));
  assert.deepEqual([failure.reason, failure.missing], ["ReconcileFailed", undefined]);
});

it("tells an older CustomResourceDefinition from other failures", () => {
  assert.equal(failureOf(operatorErrors.ELASTI_CRD_OUTDATED("drops status.phase")).reason, "CrdOutdated");
  assert.equal(failureOf(new Error("x")).reason, "ReconcileFailed");
});
