import type { PolicyServices } from "../../service/services.ts";
import {
  AsleepAnswer,
  IdleAnswer,
  SavingsAnswer,
  SavingsSummaryAnswer,
  WakeAllAnswer,
  WakeAnswerSchema,
} from "../answers.ts";
import { type Operation, operation } from "../operation.ts";
import {
  AsleepQuery,
  MAX_LIMIT,
  PolicyParams,
  SavingsQuery,
  SavingsSummaryQuery,
  WakeAllBody,
  WakeBody,
} from "../requests.ts";
import { idleView, savingsView, summaryView, wakeAllView, wakeView } from "../views.ts";

/** Routes about targets at zero: waking them, how long they slept, and what that saved. */
export function sleepOperations({
  wakes,
  idle,
  savings,
}: Pick<PolicyServices, "wakes" | "idle" | "savings">): Operation[] {
  return [
    operation({
      method: "POST",
      path: "/policies/:id/wake",
      id: "wakePolicy",
      tag: "sleep",
      summary: "Wake the target of a policy",
      params: PolicyParams,
      body: WakeBody,
      bodyOptional: true,
      answers: { 200: { description: "It wakes, or was awake.", schema: WakeAnswerSchema } },
      problems: [404, 409],
      handle: async ({ caller, params, body, signal }) => {
        const options = { reason: body.reason ?? "manual", waitForReady: body.wait_for_ready ?? false, signal };
        return { status: 200, body: wakeView(await wakes.wake(caller, params.id, options)) };
      },
    }),
    operation({
      method: "POST",
      path: "/wake",
      id: "wakeAll",
      tag: "sleep",
      summary: "Wake the targets of several policies, or of all",
      description: "What fails is told in its own line; the others are woken all the same.",
      body: WakeAllBody,
      bodyOptional: true,
      answers: { 200: { description: "One line for each.", schema: WakeAllAnswer } },
      handle: async ({ caller, body }) => ({
        status: 200,
        body: wakeAllView(await wakes.wakeAll(caller, body.policy_ids, body.reason ?? "manual")),
      }),
    }),
    operation({
      method: "GET",
      path: "/policies/:id/idle",
      id: "getIdleState",
      tag: "sleep",
      summary: "Say whether the target of a policy sleeps, and since when nothing has asked for it",
      params: PolicyParams,
      answers: { 200: { description: "Null is what is not known.", schema: IdleAnswer } },
      problems: [404],
      handle: async ({ caller, params }) => ({ status: 200, body: idleView(await idle.ofPolicy(caller, params.id)) }),
    }),
    operation({
      method: "GET",
      path: "/scaled-to-zero",
      id: "listScaledToZero",
      tag: "sleep",
      summary: "List the policies whose target is at zero now",
      query: AsleepQuery,
      answers: { 200: { description: "The first of them, and how many there are.", schema: AsleepAnswer } },
      handle: async ({ caller, query }) => {
        const { items, total } = await idle.asleep(caller, query.limit ?? 100);
        return { status: 200, body: { policies: items.map(idleView), total_count: total } };
      },
    }),
    operation({
      method: "GET",
      path: "/policies/:id/savings",
      id: "getSavings",
      tag: "sleep",
      summary: "Say how long the target of a policy slept, and what that saved",
      params: PolicyParams,
      query: SavingsQuery,
      answers: { 200: { description: "By day and together.", schema: SavingsAnswer } },
      problems: [404],
      handle: async ({ caller, params, query }) => {
        const days = query.days ?? 30;
        return { status: 200, body: savingsView(await savings.ofPolicy(caller, params.id, days), days) };
      },
    }),
    operation({
      method: "GET",
      path: "/savings/summary",
      id: "getSavingsSummary",
      tag: "sleep",
      summary: "Say how long all targets slept, and what that saved; at most a minute old",
      query: SavingsSummaryQuery,
      answers: { 200: { description: "By policy and together.", schema: SavingsSummaryAnswer } },
      handle: async ({ caller, query }) => {
        const days = query.days ?? 30;
        const found = await savings.summary(caller, days, query.namespace);
        return { status: 200, body: summaryView(found, days, MAX_LIMIT) };
      },
    }),
  ];
}
