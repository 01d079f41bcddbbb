const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
const pattern = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/;

/** The number of a Kubernetes quantity, such as `250m`, `128Mi` or `1e3`; undefined for anything else. */
export function parseQuantity(text: unknown): number | undefined {
  const match = typeof text === "string" || typeof text === "number" ? pattern.exec(String(text)) : null;
  if (match === null) return undefined;
  const value = Number(match[1]) * factors[match[2] ?? ""]!;
  return Number.isFinite(value) ? value : undefined;
}
