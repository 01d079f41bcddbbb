import { applyChange, changeProblems, normalizePolicy } from "../domain/normalize.ts";
import type { PolicyContext } from "../domain/normalize-context.ts";
import { policyErrors } from "../errors.ts";
import type { Policy, PolicyChange, PolicyDraft } from "../schema/policy.ts";
import type { FieldProblem } from "../schema/problems.ts";
import type { PolicyRules } from "./policies.ts";

/** The rules of this package. @param context what policies may refer to now */
export function policyRules(context: PolicyContext): PolicyRules {
  const normalized = (body: unknown, former?: Policy): PolicyDraft => {
    const { draft, errors } = normalizePolicy(body, context, former);
    if (draft === undefined) throw invalid(errors);
    return draft;
  };
  return {
    create: (body) => normalized(body),
    change: (policy, body) => {
      const errors = changeProblems(body);
      if (errors.length > 0) throw invalid(errors);
      return normalized(applyChange(policy, body as PolicyChange), policy);
    },
  };
}

function invalid(errors: readonly FieldProblem[]) {
  return policyErrors.ELASTI_POLICY_INVALID(problemsText(errors), { details: { errors } });
}

/** The first of the wrong fields, in one line. */
export function problemsText(errors: readonly FieldProblem[]): string {
  const shown = errors.slice(0, 5).map(({ field, message }) => `${field === "" ? "body" : field} ${message}`);
  return [...shown, ...(errors.length > 5 ? [`and ${errors.length - 5} more`] : [])].join("; ");
}
