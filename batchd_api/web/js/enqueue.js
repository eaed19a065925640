// A new job: the form is made from its type, and shows what would run before it is asked for.

import { get, post } from "./api.js";
import { choice, field, input } from "./dialogs.js";
import { fill, h, icon, link } from "./dom.js";
import { fromLocalInput, moment } from "./format.js";
import { announce, empty, errorPlace, showError, toast } from "./notices.js";
import { paramFields } from "./param_fields.js";
import { queueHash } from "./queues.js";
import { may } from "./session.js";

const DEFAULT_HOST = "__default__";
const PREVIEW_MILLISECONDS = 350;

export function enqueuePage(root, [name]) {
  document.title = "Enqueue · batchd";
  const content = h("div", { "aria-busy": "true" });
  root.append(h("nav", { class: "crumbs", "aria-label": "Where you are" }, link("/#/", {}, icon("back"), "Queues"), name && link(queueHash(name), {}, name)), h("h1", {}, "Enqueue a job"), content);
  show(content, name).catch((error) => showError(content, error));
}

async function show(content, name) {
  const queues = (await get(["queue"])).filter((queue) => may("CreateJobs", queue.name));
  if (name && !queues.some((queue) => queue.name === name) && may("CreateJobs", name)) queues.push({ name, title: name });
  const queue = queues.find((one) => one.name === name) ?? queues[0];
  const types = queue ? await get(["queue", queue.name, "type"]) : [];
  content.removeAttribute("aria-busy");
  if (!queue) fill(content, empty("No queue to enqueue in", "You may not create jobs in any queue. Somebody who manages users can permit CreateJobs."));
  else if (!types.length) fill(content, empty("No job type for you here", `In ${queue.title} you may not create jobs of any type.`));
  else fill(content, form(queues, queue, types));
}

function takeCopy() {
  const copy = JSON.parse(sessionStorage.getItem("batchd-copy") ?? "null");
  sessionStorage.removeItem("batchd-copy");
  return copy;
}

function form(queues, queue, types) {
  const copy = takeCopy();
  const state = { queue, params: null, host: null };
  const target = choice("queue", queues.map((one) => [one.name, one.title]), queue.name, {
    onchange: () => (location.hash = `#/enqueue/${encodeURIComponent(target.value)}`),
  });
  const first = types.find((type) => type.name === copy?.type) ?? types[0];
  const type = choice("type", types.map((one) => [one.name, one.title && one.title !== one.name ? `${one.title} (${one.name})` : one.name]), first.name, {
    onchange: () => use(types.find((one) => one.name === type.value)),
  });
  const start = input("start_time", "", { type: "datetime-local" });
  const notes = h("textarea", { name: "notes", rows: 2 }, copy?.notes ?? "");
  const held = h("input", { type: "checkbox", name: "held" });
  const params = h("div", { class: "fields" });
  const hostPlace = h("div", {});
  const place = errorPlace();
  const preview = h("section", { class: "card preview", "aria-label": "Preview", "aria-live": "polite" });
  const submit = h("button", { type: "submit", class: "button primary" }, "Enqueue");
  const more = h("button", { type: "submit", class: "button", name: "more" }, "Enqueue and stay");

  const body = () => ({
    type: type.value,
    params: state.params.values(),
    host_name: state.host.value === DEFAULT_HOST ? null : state.host.value,
    start_time: fromLocalInput(start.value),
    notes: notes.value || null,
    status: held.checked ? "Postponed" : "New",
  });

  // Nothing is sent before the form is whole.
  const closed = (is) => (submit.disabled = more.disabled = is);

  async function use(chosen, given = {}) {
    closed(true);
    state.params = paramFields(chosen, given.params);
    fill(params, state.params.element);
    const hosts = await get(["queue", queue.name, "type", chosen.name, "host"]);
    const labels = hosts.map((host) => [host, host === DEFAULT_HOST ? "default of the queue or type" : host]);
    state.host = choice("host_name", labels, given.host_name ?? hosts[0]);
    fill(hostPlace, field("Host", state.host));
    closed(false);
    look();
  }

  const looking = debounced(async () => {
    try {
      const dry = await post(["queue", queue.name], body(), { dry_run: true });
      fill(preview, planned(dry));
    } catch (error) {
      fill(preview, h("h2", {}, "What would run"), h("p", { class: "error" }, error.message));
    }
  });
  const look = () => looking();

  async function enqueue(event) {
    event.preventDefault();
    const stays = event.submitter === more;
    closed(true);
    showError(place, null);
    try {
      const id = await post(["queue", queue.name], body());
      toast(link(`/#/job/${id}`, {}, `Job ${id}`), ` is enqueued in ${queue.title}.`);
      announce(`Job ${id} is enqueued.`);
      if (!stays) location.hash = queueHash(queue.name).slice(2);
    } catch (error) {
      showError(place, error);
    }
    closed(false);
  }

  const element = h(
    "form",
    { class: "form card", onsubmit: enqueue, oninput: look },
    h("div", { class: "fields" }, field("Queue", target), field("Job type", type)),
    params,
    h("div", { class: "fields" }, hostPlace, field("Not before", start, { hint: "empty: as soon as its turn comes" }), field("Notes", notes, { wide: true })),
    h("label", { class: "check" }, held, "Hold it until somebody releases it"),
    place,
    h("div", { class: "row" }, submit, more),
  );
  use(first, copy ?? {}).catch((error) => showError(place, error));
  return h("div", { class: "split" }, element, preview);
}

function planned(dry) {
  const starts = dry.earliest_start && new Date(dry.earliest_start) > Date.now() ? moment(dry.earliest_start) : "as soon as its turn comes";
  const facts = [
    ["Where", dry.host ?? "this machine"],
    ["When", dry.earliest_start ? starts : "the queue's schedule never opens"],
    ...dry.files.map((file) => [file.type === "InputFile" ? "Reads" : "Writes", h("code", {}, file.path)]),
  ];
  return [
    h("h2", {}, "What would run"),
    h("pre", { class: "command", tabindex: 0, role: "region", "aria-label": "Command" }, dry.command),
    h("dl", { class: "facts" }, facts.map(([label, value]) => [h("dt", {}, label), h("dd", {}, value)])),
  ];
}

function debounced(run) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, PREVIEW_MILLISECONDS);
  };
}
