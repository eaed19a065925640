// What happened over time, from the facade's stored metrics.

import { get } from "./api.js";
import { areaChart, lineChart, rates } from "./charts.js";
import { choice } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { bytes, duration, number } from "./format.js";
import { empty, errorPlace, showError } from "./notices.js";
import { poll } from "./poll.js";

const LOOK_SECONDS = 10;
const PERIODS = [["3600", "the last hour"], ["21600", "6 hours"], ["86400", "the last day"], ["604800", "the last week"]];
const STATUSES = ["processing", "waiting", "new", "postponed", "failed", "done"];
const STATUS_LABELS = { processing: "running", waiting: "starting", new: "new", postponed: "held", failed: "failed", done: "done" };
const PREFIXES = ["batchd.hosts", "batchd.wai", "rts.gc.current_bytes_used", "batchd.job.duration"];
const MOST_TYPES = 4;
const POINTS = 240; // of a line; more cannot be told apart

export function monitorPage(root) {
  document.title = "Monitor · batchd";
  const place = errorPlace();
  const content = h("div", { "aria-busy": "true" });
  const period = choice("period", PERIODS, "3600", { "aria-label": "Period", onchange: () => looking.again() });
  const done = h("input", { type: "checkbox", onchange: () => looking.again() });
  root.append(h("header", { class: "head" }, h("h1", {}, "Monitor"), h("div", { class: "row" }, h("label", { class: "check" }, done, "with done jobs"), period)), place, content);
  const looking = poll(
    async (signal) => {
      const last = period.value;
      const asked = { last, every: Math.ceil(Number(last) / POINTS) };
      const [jobs, ...records] = await Promise.all([
        get(["monitor", "jobs"], asked, { signal }),
        ...PREFIXES.map((prefix) => get(["monitor", prefix, "query"], asked, { signal })),
      ]);
      content.removeAttribute("aria-busy");
      const now = Date.now();
      const found = { jobs, hosts: records[0], http: records[1], memory: records[2], durations: records[3] };
      fill(content, shown(found, [now - Number(last) * 1000, now], done.checked));
    },
    LOOK_SECONDS,
    (error) => showError(place, error),
  );
  return looking.stop;
}

function shown(found, span, withDone) {
  if (Object.values(found).every((one) => !one?.length)) {
    return empty("No records yet", "Records are stored every minute or so, as metrics.dump_timeout says. If this stays empty, metrics are off.");
  }
  return h("div", { class: "charts" }, jobsChart(found.jobs ?? [], span, withDone), hostsChart(found.hosts ?? [], span), httpChart(found.http ?? [], span), latencyChart(found.http ?? [], span), memoryChart(found.memory ?? [], span), durationChart(found.durations ?? [], span));
}

const at = (record) => Date.parse(record.time);

function pointsOf(records, name, value = (record) => record.value) {
  return records.filter((record) => record.name === name && value(record) !== null).map((record) => [at(record), value(record)]);
}

// Sums over the queues; every status has every time, so that they can stand on each other.
export function jobSeries(records, statuses) {
  const times = [...new Set(records.map(at))].sort((a, b) => a - b);
  const sums = new Map();
  for (const record of records) {
    const key = `${at(record)} ${record.status.toLowerCase()}`;
    sums.set(key, (sums.get(key) ?? 0) + record.jobs);
  }
  const series = statuses.map((kind) => ({ kind, label: STATUS_LABELS[kind], points: times.map((time) => [time, sums.get(`${time} ${kind}`) ?? 0]) }));
  return series.filter((one) => one.points.some(([, value]) => value > 0));
}

function jobsChart(records, span, withDone) {
  const statuses = withDone ? STATUSES : STATUSES.filter((status) => status !== "done");
  return areaChart("Jobs by status", jobSeries(records, statuses), { span, whole: true });
}

function hostsChart(records, span) {
  const series = ["active", "busy"].map((kind) => ({ kind, label: kind, points: pointsOf(records, `batchd.hosts.${kind}`) }));
  return lineChart("Hosts", series, { span, whole: true });
}

function httpChart(records, span) {
  const classes = ["2xx", "3xx", "4xx", "5xx"].map((kind) => ({ kind: `http-${kind}`, label: kind, points: rates(pointsOf(records, `batchd.wai.response_status_${kind}`)) }));
  return lineChart("HTTP answers a second", classes, { span });
}

function latencyChart(records, span) {
  const points = meansBetween(records.filter((record) => record.name === "batchd.wai.latency_distribution"));
  return lineChart("Time to answer, mean", [{ kind: "mean", label: "mean", points }], { span, format: (value) => (value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`) });
}

function memoryChart(records, span) {
  return lineChart("Memory of batchd", [{ kind: "memory", label: "in use", points: pointsOf(records, "rts.gc.current_bytes_used") }], { span, format: bytes });
}

function durationChart(records, span) {
  const prefix = "batchd.job.duration.type.";
  const names = [...new Set(records.map((record) => record.name).filter((name) => name.startsWith(prefix)))].slice(0, MOST_TYPES);
  const all = { kind: "mean", label: "all types", points: durations(records, "batchd.job.duration") };
  const types = names.map((name, index) => ({ kind: `type-${index}`, label: name.slice(prefix.length), points: durations(records, name) }));
  return lineChart("Run time of jobs, mean", [all, ...types].filter((one) => one.points.length), { span, format: duration });
}

const durations = (records, name) => meansBetween(records.filter((record) => record.name === name));

// A distribution counts from the start of the process: what is new between two records has its own mean.
export function meansBetween(records) {
  const found = [];
  for (let index = 1; index < records.length; index += 1) {
    const [before, now] = [records[index - 1], records[index]];
    const anew = now.count < before.count;
    const count = anew ? now.count : now.count - before.count;
    if (count > 0) found.push([at(now), (anew ? now.sum : now.sum - before.sum) / count]);
  }
  return found;
}
