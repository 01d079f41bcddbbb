import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { elastiServiceCrd, SpecSchema, StatusSchema } from "@elasti/api";
import { stringify } from "yaml";
import { chartFiles } from "./chart/chart-files.ts";
import { configurationPage } from "./configuration-page.ts";
import { policiesPage } from "./policies-page.ts";

const root = join(import.meta.dirname, "..", "..", "..");

/** A schema as far as the reference page shows it. */
interface Shown {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Shown>>;
  readonly items?: Shown;
}

/** Writes what is made from the schemas. With `--check` compares only. @returns 1 when a file was not as it should be */
export async function generate(args: readonly string[]): Promise<number> {
  let stale = 0;
  for (const [file, text] of Object.entries(await generatedFiles())) {
    const path = join(root, file);
    if (readIfThere(path) === text) continue;
    stale += 1;
    if (args.includes("--check")) {
      process.stderr.write(`${file} is not what the schemas say: run npm run generate\n`);
    } else {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
      process.stdout.write(`wrote ${file}\n`);
    }
  }
  return args.includes("--check") && stale > 0 ? 1 : 0;
}

/** Everything that is made from schemas: path below the repository -> text. */
export async function generatedFiles(): Promise<Record<string, string>> {
  // loaded here alone: the other commands do without the two programs
  const [operator, resolver] = await Promise.all([import("@elasti/operator"), import("@elasti/resolver")]);
  const policyApi = await operator.policyReference();
  return {
    "docs/reference/policies-openapi.json": `${JSON.stringify(policyApi, undefined, 2)}\n`,
    "docs/reference/policies.md": policiesPage(policyApi),
    "deploy/crd/elastiservices.yaml": `# Made by npm run generate from packages/api/src/elasti-service.ts\n${stringify(elastiServiceCrd(), { lineWidth: 0, aliasDuplicateObjects: false })}`,
    "docs/reference/elastiservice.md": referencePage(),
    ...chartFiles({ operator: operator.operatorSettings, resolver: resolver.settings }),
    "docs/reference/configuration.md": configurationPage([
      {
        title: "Operator",
        about: "Controller, elastiserver and sleep loop: `packages/operator/bin/elasti-operator.mjs`.",
        source: "packages/operator/src/config.ts",
        settings: operator.operatorSettings,
      },
      {
        title: "Resolver",
        about: "The reverse proxy that holds requests: `packages/resolver/bin/elasti-resolver.mjs`.",
        source: "packages/resolver/src/config.ts",
        settings: resolver.settings,
      },
    ]),
  };
}

function referencePage(): string {
  return `# ElastiService

\`elasti.truefoundry.com/v1alpha1\`, namespaced, short name \`es\`. Made by \`npm run generate\` from packages/api/src/elasti-service.ts.

## spec

${table(rows(SpecSchema as unknown as Shown, ""))}

## status

${table(rows(StatusSchema as unknown as Shown, ""))}
`;
}

function table(lines: readonly string[]): string {
  return ["| field | type | meaning |", "|---|---|---|", ...lines].join("\n");
}

function rows(schema: Shown, path: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, child]) => {
    const own = path === "" ? name : `${path}.${name}`;
    const shown = child.type === "array" ? `${own}[]` : own;
    const nested = child.type === "array" ? (child.items ?? {}) : child;
    const required = schema.required?.includes(name) === true ? " Required." : "";
    const line = `| \`${shown}\` | ${typeText(child)} | ${child.description ?? nested.description ?? ""}${required}${boundsText(child)} |`;
    return [line, ...rows(nested, shown)];
  });
}

function typeText(schema: Shown): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(" ");
  if (schema.type === "array") return `list of ${schema.items?.type ?? "object"}`;
  return schema.type ?? "object";
}

function boundsText(schema: Shown): string {
  const parts: string[] = [];
  if (schema.default !== undefined) parts.push(`Default \`${schema.default}\`.`);
  if (schema.minimum !== undefined && schema.maximum !== undefined)
    parts.push(`${schema.minimum} to ${schema.maximum}.`);
  else if (schema.minimum !== undefined) parts.push(`At least ${schema.minimum}.`);
  if (schema.maxLength !== undefined) parts.push(`At most ${schema.maxLength} characters.`);
  if (schema.maxItems !== undefined) parts.push(`At most ${schema.maxItems}.`);
  return parts.length === 0 ? "" : ` ${parts.join(" ")}`;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
