/** Columns of text, as kubectl shows them. What would move the cursor or colour the terminal is not passed on. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows.map((row) => row.map(plain))];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join("   ")
      .trimEnd();
  return `${all.map(line).join("\n")}\n`;
}

const plain = (text: string): string => text.replace(/\p{Cc}+/gu, " ");
