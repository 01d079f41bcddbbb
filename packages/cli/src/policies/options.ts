import { parseArgs } from "node:util";
import { errorText } from "@elasti/core";
import type { Environment } from "../cluster-access.ts";

/** Where the API of the policies is, and who asks. */
export interface ServerOptions {
  /** Base address, with a path in front of `/api/v1/scaling` where there is one. */
  readonly server: string;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly caFile: string | undefined;
}

export const outputs = ["table", "yaml", "json"] as const;
export type Output = (typeof outputs)[number];

export interface PoliciesOptions extends ServerOptions {
  readonly verb: "apply" | "diff" | "get" | "delete" | "history";
  /** Of policies. */
  readonly names: readonly string[];
  /** Files and folders; `-` is standard input. */
  readonly files: readonly string[];
  readonly output: Output;
  readonly namespace: string | undefined;
  readonly ignoreNotFound: boolean;
  /** History: also decisions that changed nothing. */
  readonly decisions: boolean;
  readonly limit: number;
}

export type ParsedPolicies =
  | { readonly kind: "run"; readonly options: PoliciesOptions }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string };

export const policiesUsage = `usage: elasti policies <apply|diff|get|delete|history> [<name>...] [-f <file>]...

Keeps scaling policies as files. A file holds one policy or several YAML documents, each the body of a policy; which policy
it is says its name, and what it leaves out has its default.

  apply -f <file>      makes every policy of the files what they say, showing what differs; what does not is not written
  diff -f <file>       shows what apply would change, and changes nothing
  get [<name>...]      lists policies; -o yaml writes them as files that apply takes
  delete <name>...     removes policies, or those that the files of -f name; their history stays
  history [<name>...]  shows what was done, newest first

  -f, --file <path>    a file, a folder (its .yaml, .yml and .json files) or - for standard input; may be given several times
  -o, --output <form>  table (default), yaml or json, of get and history
  -n, --namespace <name>
                       get and history: only policies whose target is in it
  --decisions          history: also what was decided and not done
  --limit <n>          history: so many lines for each name, 20 where left out
  --ignore-not-found   delete: what is not there is no failure
  --server <url>       where the operator is; left out: ELASTI_POLICIES_SERVER
  --token <token>      left out: ELASTI_POLICIES_TOKEN. --token-file <path>, ELASTI_POLICIES_TOKEN_FILE: out of a file
  --ca-file <path>     certificates to trust for https; left out: ELASTI_POLICIES_CA_FILE, or those of the system

Exit code 0: done, and for diff: nothing differs. 1: something differs (diff). 2: something went wrong.
`;

const verbs = ["apply", "diff", "get", "delete", "history"] as const;
const isVerb = (text: string | undefined): text is PoliciesOptions["verb"] => verbs.some((verb) => verb === text);

/** Understands the arguments of `elasti policies`; the first thing that is wrong is said in one line. */
export function parsePolicies(args: readonly string[], env: Environment): ParsedPolicies {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        file: { type: "string", multiple: true, short: "f" },
        output: { type: "string", short: "o" },
        namespace: { type: "string", short: "n" },
        decisions: { type: "boolean" },
        limit: { type: "string" },
        "ignore-not-found": { type: "boolean" },
        server: { type: "string" },
        token: { type: "string" },
        "token-file": { type: "string" },
        "ca-file": { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
    const [verb, ...names] = positionals;
    if (values.help === true || verb === undefined || verb === "help") return { kind: "help" };
    if (!isVerb(verb)) return wrong(`there is no "policies ${verb}": expected one of ${verbs.join(", ")}`);
    const files = values.file ?? [];
    const needsFiles = verb === "apply" || verb === "diff";
    if (needsFiles && files.length === 0) return wrong(`policies ${verb} needs -f <file>`);
    if (needsFiles && names.length > 0)
      return wrong(`policies ${verb} takes files with -f, and no name: "${names[0]}"`);
    if (verb === "delete" && files.length + names.length === 0)
      return wrong("policies delete needs names or -f <file>");
    if (files.length > 0 && (verb === "get" || verb === "history")) return wrong(`policies ${verb} takes no file`);
    const output = outputs.find((one) => one === (values.output ?? "table"));
    if (output === undefined) return wrong(`--output ${values.output}: expected one of ${outputs.join(", ")}`);
    const limit = Number(values.limit ?? 20);
    if (!Number.isInteger(limit) || limit < 1 || limit > 1_000)
      return wrong("--limit: expected a number from 1 to 1000");
    const server = values.server ?? env.ELASTI_POLICIES_SERVER ?? "";
    if (!/^https?:$/.test(URL.parse(server)?.protocol ?? "")) {
      const given =
        server === "" ? "--server or ELASTI_POLICIES_SERVER is missing" : `--server "${server}" is no address`;
      return wrong(`${given}: expected where the operator is, such as http://localhost:8013`);
    }
    // what is said on the command line goes before what the environment says, in whichever of the two forms
    const said = values.token !== undefined || values["token-file"] !== undefined;
    return {
      kind: "run",
      options: {
        verb,
        names,
        files,
        output,
        namespace: values.namespace,
        decisions: values.decisions ?? false,
        limit,
        ignoreNotFound: values["ignore-not-found"] ?? false,
        server,
        token: values.token ?? (said ? undefined : env.ELASTI_POLICIES_TOKEN),
        tokenFile: values["token-file"] ?? (said ? undefined : env.ELASTI_POLICIES_TOKEN_FILE),
        caFile: values["ca-file"] ?? env.ELASTI_POLICIES_CA_FILE,
      },
    };
  } catch (error) {
    return wrong(errorText(error));
  }
}

const wrong = (message: string): ParsedPolicies => ({ kind: "wrong", message });
