import { elastiServiceCrd } from "@elasti/api";
import { stringify } from "yaml";
import type { SettingsTable } from "../configuration-page.ts";
import { environmentNames } from "./program-settings.ts";
import { scalingRules } from "./scaling-values.ts";
import { leavesOf, schemaOf, type Value, type ValueTree, yamlOf } from "./value-tree.ts";
import { chartValues, kubeElastiValues } from "./values.ts";

const chart = "deploy/helm/elasti";

/** The parts of the Helm chart that are made from schemas, and the page of its values: path below the repository -> text. */
export function chartFiles(settings: { operator: SettingsTable; resolver: SettingsTable }): Record<string, string> {
  const tree = chartValues(settings);
  const { properties, ...rest } = schemaOf(tree);
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Values of the Elasti chart",
    ...rest,
    allOf: scalingRules,
    properties: { ...(properties as object), ...kubeElastiValues },
  };
  const names = { operator: environmentNames(settings.operator), resolver: environmentNames(settings.resolver) };
  const made = (from: string) => `# Made by npm run generate from ${from}\n`;
  return {
    [`${chart}/values.yaml`]: `${made("packages/cli/src/chart/values.ts")}\n${yamlOf(tree)}`,
    [`${chart}/values.schema.json`]: `${JSON.stringify(schema, undefined, 2)}\n`,
    [`${chart}/files/settings.yaml`]: `${made("the settings of both programs")}${stringify(names)}`,
    [`${chart}/files/elastiservices.yaml`]: `${made("packages/api/src/elasti-service.ts")}${stringify(elastiServiceCrd(), { lineWidth: 0, aliasDuplicateObjects: false })}`,
    "docs/reference/chart.md": page(tree),
  };
}

function page(tree: ValueTree): string {
  const leaves = [...leavesOf(tree)];
  const rows = leaves.map(
    ({ path, value }) =>
      `| \`${path}\` | \`${cell(JSON.stringify(value.fallback))}\` | ${cell(value.description)}${bounds(value)} |`,
  );
  const sections = leaves.flatMap(({ path, value }) =>
    value.members === undefined
      ? []
      : [
          `## ${path}\n\n| name | default | value | meaning |\n|---|---|---|---|\n${value.members
            .map(
              ({ name, fallback, expected, description }) =>
                `| \`${name}\` | ${fallback === "" ? "empty" : `\`${fallback}\``} | ${cell(expected)} | ${cell(description)} |`,
            )
            .join("\n")}`,
        ],
  );
  return `# Values of the Helm chart

Made by \`npm run generate\` from packages/cli/src/chart/values.ts. A name that is not here is refused by \`helm install\`, and so is a value
that does not fit; the message names the value and says what was expected. How to install: [the guide](../install.md).

| value | default | meaning |
|---|---|---|
${rows.join("\n")}

${sections.join("\n\n")}
`;
}

function bounds({ schema }: Value): string {
  const { minimum, maximum, enum: values } = schema as { minimum?: number; maximum?: number; enum?: unknown[] };
  if (values !== undefined) return ` One of ${values.map((one) => `\`${String(one)}\``).join(", ")}.`;
  return minimum === undefined || maximum === undefined ? "" : ` ${minimum} to ${maximum}.`;
}

/** Text that stays within its cell. */
const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
