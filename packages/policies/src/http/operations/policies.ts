import { policyErrors } from "../../errors.ts";
import type { Policy } from "../../schema/policy.ts";
import type { Precondition } from "../../service/policies.ts";
import type { PolicyServices } from "../../service/services.ts";
import { CheckAnswer, MessageAnswer, PoliciesAnswer, PolicyAnswer } from "../answers.ts";
import { entityTag, ifMatch, isKnown } from "../entity-tags.ts";
import { changeExample, policyExample } from "../examples.ts";
import { type Operation, type OperationAnswer, operation } from "../operation.ts";
import { NewPolicyBody, PoliciesQuery, PolicyChangeBody, PolicyParams } from "../requests.ts";
import { checkView, policiesView, policyView } from "../views.ts";

const answered = (status: number, policy: Policy, headers: Record<string, string> = {}): OperationAnswer => ({
  status,
  headers: { etag: entityTag(policy.version), ...headers },
  body: { policy: policyView(policy) },
});

/** Routes that keep policies. @param prefix of all paths, for Location */
export function policyOperations({ policies }: Pick<PolicyServices, "policies">, prefix: string): Operation[] {
  const tag = "policies";
  const switched = (enabled: boolean): Operation =>
    operation({
      method: "POST",
      path: `/policies/:id/${enabled ? "enable" : "disable"}`,
      id: enabled ? "enablePolicy" : "disablePolicy",
      tag,
      summary: enabled ? "Have a policy evaluated" : "No longer have a policy evaluated",
      params: PolicyParams,
      conditional: ["If-Match"],
      answers: { 200: { description: "Done, or it was so.", schema: MessageAnswer } },
      problems: [404, 412],
      handle: async ({ caller, params, headers }) => {
        const { version } = await policies.setEnabled(caller, params.id, enabled, ifMatch(headers["if-match"]));
        const message = `policy ${enabled ? "enabled" : "disabled"}`;
        return { status: 200, headers: { etag: entityTag(version) }, body: { message } };
      },
    });
  return [
    operation({
      method: "POST",
      path: "/policies",
      id: "createPolicy",
      tag,
      summary: "Make a policy",
      body: NewPolicyBody,
      example: policyExample,
      bodyCheckedByService: true,
      answers: { 201: { description: "Made; Location says where it is.", schema: PolicyAnswer } },
      problems: [409],
      handle: async ({ caller, body }) => {
        const policy = await policies.create(caller, body);
        return answered(201, policy, { location: `${prefix}/policies/${policy.id}` });
      },
    }),
    operation({
      method: "POST",
      path: "/policies/check",
      id: "checkPolicy",
      tag,
      summary: "Say what a body would be kept as, or everything that is wrong with it; nothing is written",
      body: NewPolicyBody,
      example: policyExample,
      bodyCheckedByService: true,
      answers: { 200: { description: "With every default filled in.", schema: CheckAnswer } },
      handle: async ({ caller, body }) => ({ status: 200, body: checkView(await policies.check(caller, body)) }),
    }),
    operation({
      method: "GET",
      path: "/policies",
      id: "listPolicies",
      tag,
      summary: "List policies by name, as far as the caller may see them",
      query: PoliciesQuery,
      answers: { 200: { description: "A page of them.", schema: PoliciesAnswer } },
      handle: async ({ caller, query: { limit, after, ...filter } }) => {
        const found = await policies.list(caller, filter, {
          limit: limit ?? 100,
          ...(after === undefined ? {} : { after }),
        });
        return { status: 200, body: policiesView(found) };
      },
    }),
    operation({
      method: "GET",
      path: "/policies/:id",
      id: "getPolicy",
      tag,
      summary: "Read a policy",
      params: PolicyParams,
      conditional: ["If-None-Match"],
      answers: {
        200: { description: "The policy.", schema: PolicyAnswer },
        304: { description: "It is still the one that the caller has." },
      },
      problems: [404],
      handle: async ({ caller, params, headers }) => {
        const policy = await policies.get(caller, params.id);
        if (isKnown(headers["if-none-match"], policy.version)) {
          return { status: 304, headers: { etag: entityTag(policy.version) } };
        }
        return answered(200, policy);
      },
    }),
    operation({
      method: "PUT",
      path: "/policies/:id",
      id: "updatePolicy",
      tag,
      summary: "Change a policy",
      description:
        "What is given replaces what was, lists as a whole; null removes what may be absent. Rules and schedules that stay the same keep their ids, and with them how long their conditions have held.",
      params: PolicyParams,
      body: PolicyChangeBody,
      example: changeExample,
      bodyCheckedByService: true,
      conditional: ["If-Match"],
      answers: { 200: { description: "The policy as it is now.", schema: PolicyAnswer } },
      problems: [404, 409, 412],
      handle: async ({ caller, params, body, headers }) => {
        const { change, version } = changeOf(body, params.id);
        const versions = both(ifMatch(headers["if-match"]), version);
        return answered(200, await policies.update(caller, params.id, change, versions));
      },
    }),
    operation({
      method: "DELETE",
      path: "/policies/:id",
      id: "deletePolicy",
      tag,
      summary: "Remove a policy; its history stays",
      params: PolicyParams,
      conditional: ["If-Match"],
      answers: { 204: { description: "Removed." } },
      problems: [404, 412],
      handle: async ({ caller, params, headers }) => {
        await policies.delete(caller, params.id, ifMatch(headers["if-match"]));
        return { status: 204 };
      },
    }),
    switched(true),
    switched(false),
  ];
}

/** What a body changes, without what it only says because the policy was answered so. */
function changeOf(body: unknown, id: string): { change: unknown; version: number | undefined } {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return { change: body, version: undefined };
  const given: Readonly<Record<string, unknown>> = { ...body };
  const { id: named, version, created_at: _, updated_at: __, ...change } = given;
  const errors = [
    ...(named === undefined || named === id ? [] : [{ field: "id", message: "is not that of the path" }]),
    ...(version === undefined || isVersion(version)
      ? []
      : [{ field: "version", message: "is none: expected a whole number of at least 1" }]),
  ];
  if (errors.length > 0) {
    const detail = errors.map(({ field, message }) => `${field} ${message}`).join("; ");
    throw policyErrors.ELASTI_POLICY_INVALID(detail, { details: { errors } });
  }
  return { change, version: isVersion(version) ? version : undefined };
}

const isVersion = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1;

function both(versions: Precondition, version: number | undefined): Precondition {
  if (version === undefined) return versions;
  return versions === undefined || versions.includes(version) ? [version] : [];
}
