/** What the API of the policies says of itself; the policy engine is loaded for it, as for everything else of it, only when asked. */
export async function policyReference(): Promise<Readonly<Record<string, unknown>>> {
  const { policyApiDocument } = await import("@elasti/policies");
  return policyApiDocument();
}
