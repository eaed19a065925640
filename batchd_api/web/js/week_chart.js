// A schedule as a week: a row for each day, a bar for each time in which jobs start.

import { h, svg } from "./dom.js";

export const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const DAY_MINUTES = 24 * 60;
const WIDTH = 480;
const ROW = 14;
const LABELS = 34;
const HOURS = [0, 6, 12, 18, 24];

export const minutes = (text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5));

// [day, begin, end] in minutes; what runs over midnight belongs to the day on which it begins.
export function bars({ weekdays, time }) {
  const days = weekdays ?? DAYS;
  const found = [];
  for (const day of days.map((name) => DAYS.indexOf(name))) {
    for (const period of time ?? [{ begin: "00:00", end: "00:00" }]) {
      const [begin, end] = [minutes(period.begin), minutes(period.end) || DAY_MINUTES];
      if (begin < end) found.push([day, begin, end]);
      else found.push([day, begin, DAY_MINUTES], [(day + 1) % 7, 0, end]);
    }
  }
  return found;
}

export function periodsText({ time }) {
  if (!time) return "all day";
  return time.map(({ begin, end }) => `${begin.slice(0, 5)}–${end.slice(0, 5)}`).join(", ");
}

export function daysText({ weekdays }) {
  if (!weekdays || weekdays.length === 7) return "every day";
  const numbers = weekdays.map((name) => DAYS.indexOf(name)).sort((a, b) => a - b);
  const isRun = numbers.length > 2 && numbers.every((day, index) => day === numbers[0] + index);
  const short = (day) => DAYS[day].slice(0, 3);
  return isRun ? `${short(numbers[0])}–${short(numbers.at(-1))}` : numbers.map(short).join(", ");
}

const x = (minute) => LABELS + (minute / DAY_MINUTES) * (WIDTH - LABELS);

export function weekChart(schedule) {
  const height = DAYS.length * ROW + 16;
  const words = `${daysText(schedule)}, ${periodsText(schedule)}`;
  return svg(
    "svg",
    { class: "week", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `Open ${words}` },
    DAYS.map((day, number) => [
      svg("text", { x: 0, y: number * ROW + 10.5 }, day.slice(0, 3)),
      svg("rect", { class: "night", x: LABELS, y: number * ROW + 2, width: WIDTH - LABELS, height: ROW - 4, rx: 3 }),
    ]),
    bars(schedule).map(([day, begin, end]) =>
      svg("rect", { class: "window", x: x(begin), y: day * ROW + 2, width: x(end) - x(begin), height: ROW - 4, rx: 3 }),
    ),
    HOURS.map((hour) => svg("text", { x: x(hour * 60), y: height - 3, "text-anchor": { 0: "start", 24: "end" }[hour] ?? "middle" }, `${hour}`)),
  );
}

export const weekCard = (schedule) => h("div", { class: "week-card" }, weekChart(schedule));
