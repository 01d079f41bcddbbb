/**
 * What is wrong with the query of an SQL metric; undefined where it may be asked. The database itself sees to it that it is one
 * statement and only reads: this keeps out what is no query at all, such as COPY ... TO PROGRAM.
 */
export function sqlProblem(query: string): string | undefined {
  const text = query.replace(/^(\s|\(|--[^\n]*(\n|$)|\/\*[\s\S]*?\*\/)+/, "");
  return /^(select|with|values|table)\b/i.test(text) ? undefined : "must be one SELECT";
}
