// Times, durations and numbers for people.

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const dated = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hour12: false });

const startOfDay = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());
const daysApart = (a, b) => Math.round((startOfDay(a) - startOfDay(b)) / (DAY * 1000));

// "14:05", "Wed 06:00", "3 Dec 06:00": as much as is needed to know when.
export function moment(text, now = new Date()) {
  const date = new Date(text);
  const days = daysApart(date, now);
  if (days === 0) return clock.format(date);
  if (Math.abs(days) < 7) return `${weekday.format(date)} ${clock.format(date)}`;
  return `${dated.format(date)} ${clock.format(date)}`;
}

export const exact = (text) => full.format(new Date(text));

export function ago(text, now = Date.now()) {
  const seconds = Math.max(0, (now - new Date(text)) / 1000);
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

export function until(text, now = Date.now()) {
  const seconds = (new Date(text) - now) / 1000;
  return seconds <= 0 ? "now" : `in ${duration(seconds)}`;
}

// Two parts at most: "3 d 4 h", "12 min", "8 s".
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return two(whole, MINUTE, "min", 1, "s", whole < 10 * MINUTE);
  if (whole < DAY) return two(whole, HOUR, "h", MINUTE, "min", true);
  return two(whole, DAY, "d", HOUR, "h", whole < 10 * DAY);
}

function two(seconds, large, largeName, small, smallName, withSmall) {
  const rest = Math.floor((seconds % large) / small);
  const first = `${Math.floor(seconds / large)} ${largeName}`;
  return withSmall && rest ? `${first} ${rest} ${smallName}` : first;
}

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = count;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

export function number(value) {
  if (Math.abs(value) >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en").replaceAll(",", " ");
  return Number(value.toPrecision(2)).toString();
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

// For <input type="datetime-local">, in the zone of whoever looks.
export function localInput(text) {
  const date = new Date(text);
  return new Date(date - date.getTimezoneOffset() * MINUTE * 1000).toISOString().slice(0, 16);
}

export const fromLocalInput = (value) => (value ? new Date(value).toISOString() : null);
