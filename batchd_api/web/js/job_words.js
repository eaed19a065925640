// How a job is said: its status, what it is, why it waits, when it was what.

import { ago, duration, exact, moment, plural, until } from "./format.js";
import { h } from "./dom.js";

export const IN_LINE = ["New", "Postponed"];
export const UNDER_WAY = ["Waiting", "Processing"];
export const FINAL = ["Done", "Failed"];

const LABELS = { New: "New", Waiting: "Starting", Processing: "Running", Done: "Done", Failed: "Failed", Postponed: "Held" };

export const statusLabel = (status) => LABELS[status] ?? status;

export function chip(status) {
  return h("span", { class: `chip ${status.toLowerCase()}`, title: `Status ${status}` }, statusLabel(status));
}

// The parameters in one line: what tells jobs of one type apart.
export function summary(job) {
  const values = Object.values(job.params ?? {});
  return values.join(" ").replaceAll(/\s+/g, " ");
}

export function reasonOf(job) {
  if (job.reason) return job.reason.text + (job.reason.until && !job.reason.text.includes(":") ? `, ${until(job.reason.until)}` : "");
  if (job.status === "Failed" && job.exit_code !== null) return `exit code ${job.exit_code}`;
  if (job.status !== "Processing") return "";
  const failures = job.try_count && `failed ${plural(job.try_count, "time")} before`;
  return [job.expected_end && `ends about ${moment(job.expected_end)}`, failures].filter(Boolean).join(", ");
}

export function progressBar(job, { long = false } = {}) {
  if (!job.progress || job.status !== "Processing") return null;
  const { percent, text, eta } = job.progress;
  const bar = percent === null || percent === undefined ? null : h("progress", { max: 100, value: percent, "aria-label": "Progress" });
  const words = [percent !== null && percent !== undefined && `${Math.round(percent)} %`, long && text, eta && `ends about ${moment(eta)}`];
  return h("span", { class: "progress" }, bar, h("span", {}, words.filter(Boolean).join(" · ")));
}

export function when(job) {
  if (FINAL.includes(job.status) && job.result_time) return time(job.result_time, `ended ${ago(job.result_time)}`);
  if (job.status === "Processing" && job.started_time) return time(job.started_time, `for ${runTime(job)}`);
  if (job.start_time && new Date(job.start_time) > Date.now()) return time(job.start_time, `not before ${moment(job.start_time)}`);
  return time(job.create_time, ago(job.create_time));
}

export function runTime(job) {
  if (!job.started_time) return null;
  const end = FINAL.includes(job.status) ? job.result_time : null;
  return duration(((end ? new Date(end) : Date.now()) - new Date(job.started_time)) / 1000);
}

export const time = (text, shown) => h("time", { datetime: text, title: exact(text) }, shown ?? moment(text));
