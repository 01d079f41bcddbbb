export { cronMoments, cronProblem, type Moments, onceMoments, parseMoment } from "./moments.ts";
export { isTimezone, timezoneProblem, wallTime } from "./timezone.ts";
export { type ScheduleProblem, ScheduleWindow, type WindowSpec } from "./window.ts";
