import type { HistoryEntry } from "@elasti/policies";
import { stringify } from "yaml";
import type { Place } from "../place.ts";
import { policyFile, policyYaml } from "./canonical.ts";
import { type AnsweredPolicy, type PoliciesClient, PoliciesFailure } from "./client.ts";
import { readPolicyFiles } from "./files.ts";
import type { Output, PoliciesOptions } from "./options.ts";
import { table } from "./table.ts";

/** Policies by name, in the order of the names; those that are not there are told of. */
async function named(
  client: PoliciesClient,
  names: readonly string[],
): Promise<{ readonly found: AnsweredPolicy[]; readonly missing: string[] }> {
  const found: AnsweredPolicy[] = [];
  const missing: string[] = [];
  for (const name of new Set(names)) {
    const policy = await client.byName(name);
    if (policy === undefined) missing.push(name);
    else found.push(policy);
  }
  return { found, missing };
}

/** `elasti policies get`. @returns the exit code */
export async function getPolicies(client: PoliciesClient, options: PoliciesOptions, place: Place): Promise<number> {
  const { names, namespace, output } = options;
  const { found, missing } =
    names.length === 0 ? { found: await client.all(namespace), missing: [] } : await named(client, names);
  const inNamespace = found.filter(({ target_ref }) => namespace === undefined || target_ref?.namespace === namespace);
  place.write(policiesText(inNamespace, output));
  for (const name of missing) place.writeError(`there is no policy "${name}"\n`);
  return missing.length === 0 ? 0 : 2;
}

function policiesText(policies: readonly AnsweredPolicy[], output: Output): string {
  if (output === "yaml") return policies.map(policyYaml).join("---\n");
  if (output === "json") return `${JSON.stringify(policies.map(policyFile), null, 2)}\n`;
  if (policies.length === 0) return "there is no policy\n";
  const row = (policy: AnsweredPolicy) => {
    const { name, target_type, target_ref, enabled, shadow, min_replicas, max_replicas } = policy;
    const target = target_ref === null || target_ref === undefined ? "-" : `${target_ref.namespace}/${target_ref.name}`;
    const rules = (policy.scale_up_rules ?? []).length + (policy.scale_down_rules ?? []).length;
    const mode = enabled === false ? "off" : shadow === true ? "shadow" : "on";
    return [
      name,
      target_type,
      target,
      mode,
      `${min_replicas}-${max_replicas}`,
      `${rules}`,
      `${policy.schedules?.length ?? 0}`,
    ];
  };
  return table(["NAME", "TYPE", "TARGET", "MODE", "REPLICAS", "RULES", "SCHEDULES"], policies.map(row));
}

/** `elasti policies delete`. @returns the exit code */
export async function deletePolicies(client: PoliciesClient, options: PoliciesOptions, place: Place): Promise<number> {
  const { documents, problems } = await readPolicyFiles(options.files);
  if (problems.length > 0) {
    for (const problem of problems) place.writeError(`${problem}\n`);
    return 2;
  }
  const { found, missing } = await named(client, [...options.names, ...documents.map(({ name }) => name)]);
  for (const policy of found) {
    try {
      await client.delete(policy);
    } catch (error) {
      if (!(error instanceof PoliciesFailure) || error.problem?.status !== 404) throw error;
    }
    place.write(`policy/${policy.name} deleted\n`);
  }
  if (options.ignoreNotFound) return 0;
  for (const name of missing) place.writeError(`there is no policy "${name}"\n`);
  return missing.length === 0 ? 0 : 2;
}

/** `elasti policies history`. @returns the exit code */
export async function showHistory(client: PoliciesClient, options: PoliciesOptions, place: Place): Promise<number> {
  const { names, namespace, limit, decisions, output } = options;
  const common = {
    limit: `${limit}`,
    kind: decisions ? "all" : "action",
    ...(namespace === undefined ? {} : { namespace }),
  };
  const { found, missing } = await named(client, names);
  const filters = names.length === 0 ? [common] : found.map(({ id }) => ({ ...common, policy_id: id }));
  const entries: HistoryEntry[] = [];
  for (const filter of filters) entries.push(...(await client.history(filter)));
  // history outlives its policy
  const gone: string[] = [];
  for (const name of missing) {
    const own = await client.history({ ...common, policy_name: name });
    if (own.length === 0) gone.push(name);
    entries.push(...own);
  }
  entries.sort((a, b) => (a.executed_at < b.executed_at ? 1 : a.executed_at > b.executed_at ? -1 : 0));
  place.write(historyText(entries, output));
  for (const name of gone) place.writeError(`there is no policy "${name}", and nothing was done by one of this name\n`);
  return gone.length === 0 ? 0 : 2;
}

function historyText(entries: readonly HistoryEntry[], output: Output): string {
  if (output === "yaml") return stringify(entries, { lineWidth: 0 });
  if (output === "json") return `${JSON.stringify(entries, null, 2)}\n`;
  if (entries.length === 0) return "nothing was done\n";
  const row = (entry: HistoryEntry) => [
    entry.executed_at.replace(/\.\d+Z$/, "Z"),
    entry.policy_name === "" ? "-" : entry.policy_name,
    entry.target_ref === null ? "-" : `${entry.target_ref.namespace}/${entry.target_ref.name}`,
    entry.action,
    entry.outcome,
    `${entry.previous_replicas ?? "?"} -> ${entry.new_replicas ?? "?"}`,
    entry.reason,
  ];
  return table(["TIME", "POLICY", "TARGET", "ACTION", "OUTCOME", "REPLICAS", "REASON"], entries.map(row));
}
