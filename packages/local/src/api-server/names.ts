import { type FieldError, invalid } from "./field-error.ts";
import type { ApiObject } from "./json.ts";

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const label1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const label1123 = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedName = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

/** What is wrong with the name, or undefined: a lowercase RFC 1123 subdomain, the rule of most kinds. */
export function subdomainProblem(name: string): string | undefined {
  if (name.length > 253) return "must be no more than 253 characters";
  if (subdomain.test(name)) return undefined;
  return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
}

/** The rule of Service names. */
export function label1035Problem(name: string): string | undefined {
  if (name.length > 63) return "must be no more than 63 characters";
  if (label1035.test(name)) return undefined;
  return "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
}

/** The rule of Namespace names and port names. */
export function label1123Problem(name: string): string | undefined {
  if (name.length > 63) return "must be no more than 63 characters";
  if (label1123.test(name)) return undefined;
  return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
}

function qualifiedNameProblem(name: string): string | undefined {
  const slash = name.indexOf("/");
  const local = name.slice(slash + 1);
  if (slash >= 0 && subdomainProblem(name.slice(0, slash)) !== undefined) {
    return `prefix part ${subdomainProblem(name.slice(0, slash))}`;
  }
  if (local.length <= 63 && qualifiedName.test(local)) return undefined;
  return "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
}

/** Problems of labels, annotations and finalizers under `metadata`. */
export function validateMetadata(object: ApiObject): FieldError[] {
  const { labels = {}, annotations = {}, finalizers = [] } = object.metadata;
  const problems: FieldError[] = [];
  for (const [key, value] of Object.entries(labels)) {
    const problem = qualifiedNameProblem(key);
    if (problem !== undefined) problems.push(invalid("metadata.labels", key, problem));
    if (value.length > 63) problems.push(invalid("metadata.labels", value, "must be no more than 63 bytes"));
    else if (!labelValue.test(value)) {
      problems.push(
        invalid(
          "metadata.labels",
          value,
          "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
      );
    }
  }
  for (const key of Object.keys(annotations)) {
    const problem = qualifiedNameProblem(key.toLowerCase());
    if (problem !== undefined) problems.push(invalid("metadata.annotations", key, problem));
  }
  for (const finalizer of finalizers) {
    const problem = qualifiedNameProblem(finalizer);
    if (problem !== undefined) problems.push(invalid("metadata.finalizers", finalizer, problem));
  }
  return problems;
}

const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";

/** A name from metadata.generateName: five random characters that spell no words, at most 63 in all. */
export function generateName(base: string): string {
  let suffix = "";
  for (let i = 0; i < 5; i++) suffix += suffixAlphabet[Math.floor(Math.random() * suffixAlphabet.length)];
  return base.slice(0, 58) + suffix;
}
