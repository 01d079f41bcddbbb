/**
 * Gives an id to each of the rules or schedules of a policy: one that names an id of the former policy keeps it, all others are
 * new, also where a body brings ids of somewhere else. (One that says the same as before gets its former id when it is stored,
 * in the transaction that knows what was there last.)
 */
export function keepIds<T extends { readonly id: string }>(
  made: readonly T[],
  former: readonly { readonly id: string }[],
  newId: () => string,
): T[] {
  const free = new Set(former.map(({ id }) => id));
  return made.map((one) => {
    const id = one.id.toLowerCase();
    return { ...one, id: free.delete(id) ? id : newId() };
  });
}
