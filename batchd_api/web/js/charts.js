// Lines and areas over time, drawn as SVG. A series is {label, kind, points: [[time, value]]} with times in ms.

import { h, svg } from "./dom.js";
import { number } from "./format.js";

const WIDTH = 560;
const HEIGHT = 170;
const LEFT = 68;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 20;
const TICKS = 4;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const dated = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit", hour12: false });

export function lineChart(title, series, options) {
  return chart(title, series, options, (one, place) => [svg("path", { class: `line ${one.kind}`, d: pathOf(one.points, place) })]);
}

// On top of each other, in the order given. All series have the same times.
export function areaChart(title, series, options) {
  const stacked = stack(series);
  return chart(title, stacked, options, (one, place) => [
    svg("path", { class: `area ${one.kind}`, d: `${pathOf(one.points, place)}${pathOf([...one.floor].reverse(), place).replace("M", "L")}Z` }),
  ]);
}

export function stack(series) {
  let floor = (series[0]?.points ?? []).map(([at]) => [at, 0]);
  return series.map((one) => {
    const points = one.points.map(([at, value], index) => [at, value + floor[index][1]]);
    const result = { ...one, own: one.points, floor, points };
    floor = points;
    return result;
  });
}

// A counter only grows; where it falls the process has begun anew.
export function rates(points) {
  return points.slice(1).map(([at, value], index) => {
    const [before, last] = points[index];
    const grown = value >= last ? value - last : value;
    return [at, at > before ? grown / ((at - before) / 1000) : 0];
  });
}

function chart(title, series, { format = number, span, whole = false }, draw) {
  const [begin, end] = span;
  const inside = (points) => points?.filter(([at]) => at >= begin && at <= end);
  const shown = series
    .map((one) => ({ ...one, points: inside(one.points), own: inside(one.own), floor: inside(one.floor) }))
    .filter((one) => one.points.length);
  const top = niceTop(Math.max(0, ...shown.flatMap((one) => one.points.map(([, value]) => value))), whole);
  const place = ([at, value]) => [
    LEFT + ((at - begin) / (end - begin)) * (WIDTH - LEFT - RIGHT),
    HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM),
  ];
  const picture = svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${words(shown, format)}` },
    grid(top, place, begin, format),
    times(begin, end, place),
    shown.map((one) => draw(one, place)),
  );
  return h(
    "figure",
    { class: "card chart-card" },
    h("figcaption", {}, h("h2", {}, title), h("ul", { class: "legend" }, shown.map((one) => h("li", { class: one.kind }, one.label, " ", h("b", {}, format(lastOf(one))))))),
    shown.length ? picture : h("p", { class: "quiet no-data" }, "No records of this time yet."),
  );
}

const lastOf = (one) => (one.own ?? one.points).at(-1)[1];
const words = (series, format) => series.map((one) => `${one.label} ${format(lastOf(one))}`).join(", ");

function pathOf(points, place) {
  return points.map((point, index) => `${index ? "L" : "M"}${place(point).map((n) => n.toFixed(1)).join(" ")}`).join("");
}

function niceTop(most, whole) {
  const step = 10 ** Math.floor(Math.log10(Math.max(most, 1e-9)));
  const found = [1, 2, 4, 5, 8, 10].map((factor) => factor * step).find((value) => value >= most) || 1;
  return Math.max(found, whole ? TICKS : Number.MIN_VALUE) || 1;
}

function grid(top, place, begin, format) {
  return Array.from({ length: TICKS + 1 }, (_, number) => (top / TICKS) * number).map((value) => {
    const [x, y] = place([begin, value]);
    return [
      svg("line", { class: "grid", x1: x, x2: WIDTH - RIGHT, y1: y, y2: y }),
      svg("text", { x: x - 6, y: y + 3.5, "text-anchor": "end" }, format(value)),
    ];
  });
}

function times(begin, end, place) {
  const long = end - begin > 24 * 3600 * 1000;
  return [0, 1, 2, 3, 4].map((number) => {
    const at = begin + ((end - begin) / 4) * number;
    const anchor = { 0: "start", 4: "end" }[number] ?? "middle";
    return svg("text", { x: place([at, 0])[0], y: HEIGHT - 4, "text-anchor": anchor }, (long ? dated : clock).format(at));
  });
}
