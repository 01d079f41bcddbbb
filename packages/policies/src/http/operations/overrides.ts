import type { PolicyServices } from "../../service/services.ts";
import { OverrideAnswer } from "../answers.ts";
import { overrideExample } from "../examples.ts";
import { type Operation, operation } from "../operation.ts";
import { OverrideBody, OverrideParams } from "../requests.ts";
import { overrideView } from "../views.ts";

/** Routes about what a person wants of a target until a moment. */
export function overrideOperations({ overrides }: Pick<PolicyServices, "overrides">): Operation[] {
  const path = "/targets/:namespace/:kind/:name/override";
  const tag = "overrides";
  const params = OverrideParams;
  return [
    operation({
      method: "PUT",
      path,
      id: "putOverride",
      tag,
      summary: "Override what policies and triggers decide of a target, until a moment",
      description: "Kept as an annotation of the target; takes the place of one that is there.",
      params,
      body: OverrideBody,
      example: overrideExample,
      answers: { 200: { description: "In force from now on.", schema: OverrideAnswer } },
      problems: [404],
      handle: async ({ caller, params: target, body }) => ({
        status: 200,
        body: overrideView({ state: "active", override: await overrides.put(caller, target, body) }),
      }),
    }),
    operation({
      method: "GET",
      path,
      id: "getOverride",
      tag,
      summary: "Read the override of a target",
      params,
      answers: {
        200: { description: "The one that is kept; past `until` it changes nothing.", schema: OverrideAnswer },
      },
      problems: [404],
      handle: async ({ caller, params: target }) => ({
        status: 200,
        body: overrideView(await overrides.get(caller, target)),
      }),
    }),
    operation({
      method: "DELETE",
      path,
      id: "deleteOverride",
      tag,
      summary: "End the override of a target now",
      params,
      answers: { 204: { description: "Ended." } },
      problems: [404],
      handle: async ({ caller, params: target }) => {
        await overrides.delete(caller, target);
        return { status: 204 };
      },
    }),
  ];
}
