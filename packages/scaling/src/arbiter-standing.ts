import type { Intent } from "./arbiter.ts";

type Override = Extract<Intent, { actor: "override" }>;
type Counted = Extract<Intent, { replicas: number }>;
type Rule = Extract<Intent, { actor: "rule" }>;

/** What is left of the intents once the higher ones have silenced the lower ones; nothing in it depends on the target. */
export interface Standing {
  /** The first of those that count, in the order of `compare`. */
  readonly best: Intent;
  readonly pin: (Override & Counted) | undefined;
  /** Who has zero, where it wins. */
  readonly zero: Intent | undefined;
  readonly sleep: Intent | undefined;
  readonly floors: readonly Intent[];
  /** 0 without any. */
  readonly floor: number;
  readonly ceilings: readonly Intent[];
  /** At least 1; Infinity without any. */
  readonly ceiling: number;
  readonly rule: Rule | undefined;
  /** A hold or trigger asks. */
  readonly wake: boolean;
  /** What wins is an intent against which a change by hand stands. */
  readonly byHand: boolean;
}

const rank: Readonly<Record<Intent["actor"], number>> = {
  override: 5,
  hold: 5,
  trigger: 5,
  schedule: 4,
  sleep: 3,
  window: 2,
  cost: 2,
  rule: 1,
};
const actorOrder: readonly Intent["actor"][] = [
  "hold",
  "trigger",
  "override",
  "schedule",
  "sleep",
  "window",
  "cost",
  "rule",
];
const asks: readonly Override["ask"][] = ["pin", "pause", "asleep", "at-least"];

const isPin = (intent: Intent): intent is Override & Counted => intent.actor === "override" && intent.ask === "pin";
const isAsk = (intent: Intent, ask: Override["ask"]): boolean => intent.actor === "override" && intent.ask === ask;
/** With which an intent is content from below; 0: no floor. */
function floorOf(intent: Intent): number {
  if (intent.actor === "window") return intent.min ?? 0;
  if (intent.actor === "rule" || isPin(intent) || !("replicas" in intent)) return 0;
  return intent.replicas;
}
const capacity = (intent: Intent): number => ("replicas" in intent ? intent.replicas : floorOf(intent));
const ceilingOf = (intent: Intent): number =>
  "max" in intent && intent.max !== undefined ? intent.max : Number.POSITIVE_INFINITY;
const askOf = (intent: Intent): number => (intent.actor === "override" ? asks.indexOf(intent.ask) : 0);
const words = (a = "", b = ""): number => (a < b ? -1 : a > b ? 1 : 0);

/** The higher outranks. A total order, so that no result can depend on the order of arrival. */
export function compare(a: Intent, b: Intent): number {
  return (
    Number(isPin(b)) - Number(isPin(a)) ||
    rank[b.actor] - rank[a.actor] ||
    capacity(b) - capacity(a) ||
    actorOrder.indexOf(a.actor) - actorOrder.indexOf(b.actor) ||
    askOf(a) - askOf(b) ||
    (ceilingOf(a) === ceilingOf(b) ? 0 : ceilingOf(b) - ceilingOf(a)) ||
    words(a.by, b.by) ||
    words(a.reason, b.reason)
  );
}

export const isZeroAsked = (intent: Intent): boolean =>
  intent.actor === "sleep" ||
  isAsk(intent, "asleep") ||
  ((isPin(intent) || intent.actor === "rule") && intent.replicas === 0);

/** Most capacity within a class: of several windows the widest counts, of several costs too; of both the tighter. */
function lowestOf(ceilings: readonly Intent[]): number {
  const of = (actor: Intent["actor"]): number => {
    const own = ceilings.filter((intent) => intent.actor === actor);
    return own.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...own.map(ceilingOf));
  };
  return Math.max(1, Math.min(of("window"), of("cost")));
}

/** @param sorted by `compare`; not empty */
export function standingOf(sorted: readonly Intent[]): Standing {
  const pin = sorted.find(isPin);
  const heard = sorted.filter((intent) => isHeard(intent, sorted, pin));
  const floors = heard.filter((intent) => floorOf(intent) >= 1);
  const floor = Math.max(0, ...floors.map(floorOf));
  const sleep = heard.find(({ actor }) => actor === "sleep");
  const rules = heard.filter((intent) => intent.actor === "rule");
  const ceilings = heard
    .filter((intent) => Number.isFinite(ceilingOf(intent)))
    .sort((a, b) => ceilingOf(a) - ceilingOf(b) || compare(a, b));
  const [rule] = rules;
  const asleep = heard.find((intent) => isAsk(intent, "asleep"));
  const ruledOut = rule?.replicas === 0 ? rule : undefined;
  const zero = pin !== undefined ? zeroPin(pin) : floors.length > 0 ? undefined : (sleep ?? asleep ?? ruledOut);
  const ceiling = lowestOf(ceilings);
  return {
    best: floors[0] ?? heard[0] ?? sorted[0]!,
    pin,
    zero,
    sleep,
    floors,
    floor,
    // the ones that bind come first
    ceilings: [...ceilings].sort((a, b) => Number(ceilingOf(b) === ceiling) - Number(ceilingOf(a) === ceiling)),
    ceiling,
    rule,
    wake: heard.some(({ actor }) => actor === "hold" || actor === "trigger"),
    byHand: pin !== undefined || !floors.some(({ actor }) => ["hold", "trigger", "schedule"].includes(actor)),
  };
}

const zeroPin = (pin: Counted): Intent | undefined => (pin.replicas === 0 ? pin : undefined);

/** Whether nothing of a higher class silences it altogether. */
function isHeard(intent: Intent, all: readonly Intent[], pin: Intent | undefined): boolean {
  if (pin !== undefined) return isPin(intent);
  if (isAsk(intent, "pause")) return false;
  if (intent.actor === "hold" || intent.actor === "override") return true;
  if (all.some((other) => isAsk(other, "pause"))) return false;
  return intent.actor === "sleep" || !all.some((other) => isAsk(other, "asleep"));
}

/** Names what wins by its own words alone, so that it stays the same while only the target changes. */
export function markOf({ best, pin, zero, wake, rule, floors, floor, ceilings, ceiling }: Standing): string {
  const name = ({ actor, by }: Intent): string => (by === undefined ? actor : `${actor}(${by})`);
  if (pin !== undefined) return `${name(pin)} pin ${pin.replicas}`;
  if (zero !== undefined) return `${name(zero)} 0`;
  const [lowest] = ceilings;
  if (wake) return best.actor;
  if (rule !== undefined && rule.replicas >= floor && rule.replicas <= ceiling) return `${name(rule)} ${rule.replicas}`;
  const ends = [
    ...(floors[0] === undefined ? [] : [`${name(floors[0])} min ${floor}`]),
    ...(lowest === undefined || (rule !== undefined && rule.replicas < floor)
      ? []
      : [`${name(lowest)} max ${ceiling}`]),
  ];
  return ends.length === 0 ? name(best) : ends.join(", ");
}

/** What excludes what, in words; empty without any. */
export function clashes(sorted: readonly Intent[], standing: Standing): string {
  const { pin, floors, floor, ceiling, ceilings, zero } = standing;
  const said: string[] = [];
  const say = (intent: Intent | undefined, text: (actor: string) => string): void => {
    if (intent !== undefined) said.push(text(intent.actor));
  };
  if (pin !== undefined) {
    const floorAsked = sorted.find((intent) => floorOf(intent) > pin.replicas);
    say(
      floorAsked,
      (actor) => `override pins ${pin.replicas}, ${actor} asks for ${floorOf(floorAsked!)}: the pin stands`,
    );
  } else if (floors[0] !== undefined) {
    const { actor: first } = floors[0];
    const asleep = sorted.find((intent) => isZeroAsked(intent) && intent.actor !== "rule");
    say(asleep, (actor) => `${first} asks for ${floor}, ${actor} asks for 0: the floor stands`);
    if (floor > ceiling) {
      say(ceilings[0], (actor) => `${first} asks for ${floor}, ${actor} allows ${ceiling}: the floor stands`);
    }
  } else if (zero !== undefined && isAsk(zero, "asleep")) {
    const silenced = sorted.find((intent) => floorOf(intent) >= 1);
    say(silenced, (actor) => `override asks for 0, ${actor} asks for ${floorOf(silenced!)}: the override stands`);
  }
  return said.join("; ");
}
