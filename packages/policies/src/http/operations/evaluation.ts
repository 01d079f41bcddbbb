import type { PolicyServices } from "../../service/services.ts";
import { DecisionsAnswer, EvaluationAnswer, HistoryAnswer, StateAnswer } from "../answers.ts";
import { type Operation, operation } from "../operation.ts";
import { DecisionsQuery, EvaluateBody, HistoryQuery, PolicyHistoryQuery, PolicyParams } from "../requests.ts";
import { evaluationView, historyView, stateView } from "../views.ts";

type Given<T> = { readonly [K in keyof T]?: T[K] | undefined };

const pageOf = ({ limit, after }: Given<{ limit: number; after: string }>) => ({
  limit: limit ?? 100,
  ...(after === undefined ? {} : { after }),
});

/** Without `kind` those that were done, as other policy engines answer. */
const ofKind = (kind: "action" | "decision" | "all" | undefined) => (kind === "all" ? {} : { kind: kind ?? "action" });

/** Moments in one form, so that a database can compare them as text. */
function timesOf({ since, until }: Given<{ since: string; until: string }>) {
  const utc = (at: string) => new Date(at).toISOString();
  return {
    ...(since === undefined ? {} : { since: utc(since) }),
    ...(until === undefined ? {} : { until: utc(until) }),
  };
}

/** Routes that tell what policies decide, and decided. */
export function evaluationOperations({
  evaluation,
  history,
}: Pick<PolicyServices, "evaluation" | "history">): Operation[] {
  return [
    operation({
      method: "POST",
      path: "/policies/:id/evaluate",
      id: "evaluatePolicy",
      tag: "evaluation",
      summary: "Say what a policy would do now, or have it done",
      description: 'Only `"dry_run": false` has anything done; an empty body and `{}` do not.',
      params: PolicyParams,
      body: EvaluateBody,
      bodyOptional: true,
      answers: { 200: { description: "The decision, and what came of it.", schema: EvaluationAnswer } },
      problems: [404, 504],
      handle: async ({ caller, params, body, signal }) => {
        const dryRun = body.dry_run !== false;
        const made = await evaluation.evaluate(caller, params.id, { dryRun, signal });
        return { status: 200, body: evaluationView(made, dryRun) };
      },
    }),
    operation({
      method: "GET",
      path: "/policies/:id/state",
      id: "getPolicyState",
      tag: "evaluation",
      summary: "Read what a policy keeps in mind",
      params: PolicyParams,
      answers: { 200: { description: "`state` is null before the first evaluation.", schema: StateAnswer } },
      problems: [404],
      handle: async ({ caller, params }) => ({
        status: 200,
        body: stateView(await evaluation.state(caller, params.id)),
      }),
    }),
    operation({
      method: "GET",
      path: "/policies/:id/decisions",
      id: "listDecisions",
      tag: "history",
      summary: "List what a policy decided and why, done or held back, newest first",
      params: PolicyParams,
      query: DecisionsQuery,
      answers: { 200: { description: "A page of them.", schema: DecisionsAnswer } },
      problems: [404],
      handle: async ({ caller, params, query: { limit, after, since, until, ...filter } }) => {
        const wanted = { ...filter, ...timesOf({ since, until }) };
        const found = await history.ofPolicy(caller, params.id, wanted, pageOf({ limit, after }));
        return { status: 200, body: historyView("decisions", found) };
      },
    }),
    operation({
      method: "GET",
      path: "/policies/:id/history",
      id: "getPolicyHistory",
      tag: "history",
      summary: "List what was done for a policy, newest first",
      params: PolicyParams,
      query: PolicyHistoryQuery,
      answers: { 200: { description: "A page of it.", schema: HistoryAnswer } },
      problems: [404],
      handle: async ({ caller, params, query: { limit, after, since, until, kind, ...filter } }) => {
        const wanted = { ...filter, ...ofKind(kind), ...timesOf({ since, until }) };
        const found = await history.ofPolicy(caller, params.id, wanted, pageOf({ limit, after }));
        return { status: 200, body: historyView("history", found) };
      },
    }),
    operation({
      method: "GET",
      path: "/history",
      id: "listHistory",
      tag: "history",
      summary: "List what was done for all policies and by the operator itself, newest first",
      query: HistoryQuery,
      answers: { 200: { description: "A page of it.", schema: HistoryAnswer } },
      handle: async ({ caller, query: { limit, after, since, until, kind, ...filter } }) => {
        const wanted = { ...filter, ...ofKind(kind), ...timesOf({ since, until }) };
        const found = await history.list(caller, wanted, pageOf({ limit, after }));
        return { status: 200, body: historyView("history", found) };
      },
    }),
  ];
}
