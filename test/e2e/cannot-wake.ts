import assert from "node:assert/strict";
import { type Container, type Deployment, resources } from "@elasti/kube";
import type { Answer } from "./client.ts";
import type { Sleeper } from "./sleeper.ts";

/** The answer of a resolver that knows that no pod can come. */
export function assertCannotWake(answer: Answer, code: string, detail: RegExp): void {
  assert.deepEqual(
    [answer.status, answer.headers["elasti-reason"], answer.headers["retry-after"], answer.headers["content-type"]],
    [503, code, "30", "application/problem+json"],
    answer.text,
  );
  const problem = JSON.parse(answer.text) as { reason: string; detail: string };
  assert.equal(problem.reason, code);
  assert.match(problem.detail, detail);
}

/** Changes the first container of a target as whoever mends it does. */
export async function editContainer(sleeper: Sleeper, edit: (container: Container) => void): Promise<void> {
  const { world, namespace, name } = sleeper;
  const deployment = await sleeper.deployment();
  const [container] = deployment.spec.template.spec.containers;
  edit(container!);
  const body = [{ op: "replace", path: "/spec/template/spec/containers/0", value: container }];
  await world.client.patch<Deployment>(resources.deployments, namespace, name, "json", body);
}

export const firstContainer = ({ deployment }: { deployment: Deployment }): Container =>
  deployment.spec.template.spec.containers[0]!;
