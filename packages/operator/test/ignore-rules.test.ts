import assert from "node:assert/strict";
import { it } from "node:test";
import { maxConditionMessage } from "../src/controller/conditions.ts";
import { ignoreRule } from "../src/controller/ignore-rules.ts";

const deployment = { resource: { group: "apps", kind: "Deployment" }, name: "web", field: "replicas" } as const;
const service = { resource: { group: "", kind: "Service" }, name: "web", field: "selector" } as const;

const replicas: [string | undefined, RegExp][] = [
  [
    "argocd-controller",
    /ignoreDifferences: \[\{group: apps, kind: Deployment, name: web, jsonPointers: \[\/spec\/replicas\]\}\]/,
  ],
  ["kustomize-controller", /leave spec\.replicas out of the manifest that Flux applies/],
  ["helm-controller", /leave spec\.replicas out of the chart's template/],
  ["kubectl-client-side-apply", /leave spec\.replicas out of the manifest/],
  ["keda-operator", /spec\.autoscaler/],
  ["something", /leave spec\.replicas out.*ignoreDifferences/],
  [undefined, /leave spec\.replicas out.*ignoreDifferences/],
];
for (const [manager, expected] of replicas) {
  it(`says to ${manager ?? "nobody known"} how to leave replicas alone`, () =>
    assert.match(ignoreRule(manager, deployment), expected));
}

const selector: [string | undefined, RegExp][] = [
  [
    "argocd-controller",
    /kind: Service, name: web, jsonPointers: \[\/spec\/selector\/elasti\.truefoundry\.com~1parked\]/,
  ],
  ["kustomize-controller", /kustomize\.toolkit\.fluxcd\.io\/ssa: IfNotPresent/],
  ["helm", /--server-side=false/],
  ["kubectl", /client-side kubectl apply/],
  [undefined, /ignoreDifferences/],
];
for (const [manager, expected] of selector) {
  it(`says to ${manager ?? "nobody known"} how to leave the selector alone, or what else to do`, () => {
    const rule = ignoreRule(manager, service);
    assert.match(rule, expected);
    assert.match(rule, /routing\.mode: EndpointSlice/);
    assert.ok(rule.length < maxConditionMessage / 2);
  });
}
