import type { NewPolicy } from "@elasti/policies";
import type { Place } from "../place.ts";
import { policyYaml } from "./canonical.ts";
import { type AnsweredPolicy, type PoliciesClient, PoliciesFailure } from "./client.ts";
import { type PolicyDocument, readPolicyFiles } from "./files.ts";
import { lineDiff } from "./line-diff.ts";

/** What the files want of one policy, beside what is there. */
interface Change {
  readonly document: PolicyDocument;
  readonly wanted: NewPolicy;
  readonly current: AnsweredPolicy | undefined;
  /** Empty: nothing differs. */
  readonly diff: string;
}

/** Documents that are checked at once. */
const concurrency = 4;

/**
 * Reads the files and asks the server about every policy in them. Nothing is written before all of them can be used.
 * @returns undefined where something is wrong, which has been said then
 */
async function changesOf(
  client: PoliciesClient,
  files: readonly string[],
  place: Place,
): Promise<Change[] | undefined> {
  const { documents, problems } = await readPolicyFiles(files);
  const found: string[] = [...problems];
  const changes = new Map<PolicyDocument, Change>();
  const next = documents.values();
  const work = async (): Promise<void> => {
    for (const document of next) {
      const change = await changeOf(client, document);
      if (typeof change === "string") found.push(change);
      else changes.set(document, change);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  if (found.length === 0) return documents.map((document) => changes.get(document)!);
  for (const problem of found) place.writeError(`${problem}\n`);
  return undefined;
}

async function changeOf(client: PoliciesClient, document: PolicyDocument): Promise<Change | string> {
  const { body, name } = document;
  try {
    const wanted = await client.check(body);
    const current = await client.byName(name);
    const diff = lineDiff(current === undefined ? "" : policyYaml(current), policyYaml(wanted));
    return { document, wanted, current, diff };
  } catch (error) {
    if (!(error instanceof PoliciesFailure) || error.problem === undefined || error.problem.status === 401) throw error;
    return problemText(document, error);
  }
}

/** A refusal, one line for each wrong field. */
function problemText({ where, name }: PolicyDocument, { problem, message }: PoliciesFailure): string {
  const errors = problem?.errors ?? [];
  if (errors.length === 0) return `${where} (${name}): ${message}`;
  return errors
    .map((one) => `${where} (${name}): ${one.field === "" ? "" : `${one.field}: `}${one.message}`)
    .join("\n");
}

function show(change: Change, place: Place): void {
  const { document, diff, current } = change;
  place.write(`policy/${document.name} (${document.where})${current === undefined ? " is new" : ""}\n${diff}`);
}

/** `elasti policies diff`. @returns the exit code, 1 where something differs */
export async function diffPolicies(client: PoliciesClient, files: readonly string[], place: Place): Promise<number> {
  const changes = await changesOf(client, files, place);
  if (changes === undefined) return 2;
  const differing = changes.filter(({ diff }) => diff !== "");
  for (const change of differing) show(change, place);
  return differing.length === 0 ? 0 : 1;
}

/** `elasti policies apply`. @returns the exit code */
export async function applyPolicies(client: PoliciesClient, files: readonly string[], place: Place): Promise<number> {
  const changes = await changesOf(client, files, place);
  if (changes === undefined) return 2;
  let failed = 0;
  for (const change of changes) {
    const { document, wanted, current, diff } = change;
    if (diff === "") {
      place.write(`policy/${document.name} unchanged\n`);
      continue;
    }
    show(change, place);
    try {
      if (current === undefined) await client.create(wanted);
      else await client.replace(current, completed(wanted, current));
      place.write(`policy/${document.name} ${current === undefined ? "created" : "changed"}\n`);
    } catch (error) {
      if (!(error instanceof PoliciesFailure) || error.problem === undefined) throw error;
      failed += 1;
      place.writeError(`${problemText(document, error)}\n`);
    }
  }
  return failed === 0 ? 0 : 2;
}

/** A change keeps what it does not say: what the file leaves out is said to be nothing. */
function completed(wanted: NewPolicy, current: AnsweredPolicy): NewPolicy {
  const nothing = { target_id: null, target_ref: null, max_hourly_cost: null, price_per_replica_hour: null };
  return { ...nothing, ...wanted, name: current.name };
}
