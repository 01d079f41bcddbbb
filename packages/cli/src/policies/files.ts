import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorText } from "@elasti/core";
import { parseAllDocuments } from "yaml";

/** One document of a file, as it stands there. */
export interface PolicyDocument {
  /** `policies.yaml, document 2`. */
  readonly where: string;
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
}
export interface ReadFiles {
  readonly documents: readonly PolicyDocument[];
  /** Everything that cannot be used, each with its file. */
  readonly problems: readonly string[];
}

const maxBytes = 32 * 1024 * 1024;
const maxDocuments = 10_000;

/** Every policy of files and folders, in their order; `-` is standard input. */
export async function readPolicyFiles(paths: readonly string[]): Promise<ReadFiles> {
  const problems: string[] = [];
  const documents: PolicyDocument[] = [];
  for (const path of await expand(paths, problems)) {
    try {
      const text = await readFile(path === "-" ? "/dev/stdin" : path, "utf8");
      if (text.length > maxBytes) throw new Error(`is larger than ${maxBytes} bytes`);
      documents.push(...parseFile(path === "-" ? "standard input" : path, text, problems));
    } catch (error) {
      problems.push(`${path}: ${errorText(error)}`);
    }
  }
  if (documents.length > maxDocuments) problems.push(`${documents.length} policies: expected at most ${maxDocuments}`);
  const first = new Map<string, PolicyDocument>();
  for (const document of documents) {
    const other = first.get(document.name);
    if (other === undefined) first.set(document.name, document);
    else problems.push(`${document.where}: a policy of the name "${document.name}" is in ${other.where} already`);
  }
  return { documents, problems };
}

async function expand(paths: readonly string[], problems: string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    if (path === "-") {
      files.push(path);
      continue;
    }
    try {
      if (!(await stat(path)).isDirectory()) {
        files.push(path);
        continue;
      }
      const inside = (await readdir(path)).filter((name) => /\.(ya?ml|json)$/.test(name)).sort();
      if (inside.length === 0) problems.push(`${path}: there is no .yaml, .yml or .json file in it`);
      files.push(...inside.map((name) => join(path, name)));
    } catch (error) {
      problems.push(`${path}: ${errorText(error)}`);
    }
  }
  return files;
}

function parseFile(file: string, text: string, problems: string[]): PolicyDocument[] {
  const found: PolicyDocument[] = [];
  const parsed = parseAllDocuments(text);
  for (const [index, document] of (Array.isArray(parsed) ? parsed : []).entries()) {
    const where = `${file}, document ${index + 1}`;
    const [error] = document.errors;
    if (error !== undefined) {
      problems.push(`${where}: ${error.message.trimEnd()}`);
      continue;
    }
    const body: unknown = document.toJS();
    if (body === null || body === undefined) continue;
    if (typeof body !== "object" || Array.isArray(body)) {
      problems.push(`${where}: expected a policy, with name and target_type`);
      continue;
    }
    const { name } = body as { name?: unknown };
    if (typeof name !== "string" || name === "") problems.push(`${where}: name: is required, by it a policy is known`);
    else found.push({ where, name, body: body as PolicyDocument["body"] });
  }
  if (found.length === 0 && problems.length === 0) problems.push(`${file}: there is no policy in it`);
  return found;
}
