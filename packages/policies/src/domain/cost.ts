/** The most replicas within a ceiling of cost, at least 1: to switch off is not what a ceiling is for. Undefined without one. */
export function affordableReplicas(maxHourlyCost: number | null, price: number | null): number | undefined {
  if (maxHourlyCost === null || price === null || !(price > 0)) return undefined;
  // 0.3 / 0.1 is a little less than 3
  return Math.max(1, Math.floor(maxHourlyCost / price + 1e-9));
}
