// The jobs of a queue as a table of any length: looked at again every few seconds, moved by grip and keys.

import { put } from "./api.js";
import { h, icon, link } from "./dom.js";
import { actionsFor } from "./job_actions.js";
import { JobPages } from "./job_pages.js";
import { IN_LINE, chip, progressBar, reasonOf, summary, when } from "./job_words.js";
import { menuButton, openMenu } from "./menus.js";
import { announce, empty, errorPlace, showError } from "./notices.js";
import { poll } from "./poll.js";
import { enqueueHash } from "./queues.js";
import { beside, dragging } from "./reorder.js";
import { may } from "./session.js";
import { VirtualList } from "./virtual_list.js";

const LOOK_SECONDS = 3;
const AGE_SECONDS = 15;
const ROW_PIXELS = 46;
const CARD_PIXELS = 74;
const NEAR_THE_END = 60;
const PRIORITIES = { ArrowUp: "more", ArrowDown: "less", Home: "first", End: "last" };
const EMPTY = {
  line: ["Nothing waits here", "Jobs that are enqueued stand here in their order until they have ended."],
  done: ["No job is done yet", "Jobs that ended with exit code 0 are kept here for a while."],
  failed: ["No job has failed", "Jobs that ended with an error, or were cancelled, would be here."],
  all: ["This queue is empty", "Enqueue a job to begin."],
};

const narrow = matchMedia("(max-width: 720px)");
const HEAD = ["", "Job", "Status", "Why", "By", "When", ""];

export function jobTable({ name, tab, query, changed }) {
  const pages = new JobPages(name, query);
  const errors = new Map();
  const place = errorPlace();
  const nothing = h("div", { hidden: true });
  const manages = may("ManageJobs", name);
  const movable = manages && tab !== "done" && tab !== "failed";
  const hasPlace = (job) => IN_LINE.includes(job.status);
  let range = [0, 0];
  let loading = false;

  const list = new VirtualList({
    label: `Jobs in ${name}`,
    head: h("div", { class: "job-row job-head", role: "row", "aria-rowindex": 1 }, HEAD.map((label) => h("span", { role: "columnheader" }, label))),
    rowHeight: rowHeight(),
    keyOf: (job) => `job-${job.id}`,
    render: (job) => row(job, errors.get(job.id), movable && hasPlace(job), () => actionsFor(job, (error) => ended(job, error))),
    onRange: (first, last) => {
      range = [first, last];
      if (last > pages.jobs.length - NEAR_THE_END) more();
    },
  });

  const drag = dragging(list, (job) => movable && hasPlace(job), (from, to) => {
    const job = pages.jobs[from];
    const target = beside(pages.jobs, from, to, hasPlace);
    if (!target) return;
    pages.moveHere(from, to);
    show();
    change(job, target, `Job ${job.id} moved.`);
  });

  const looking = poll(
    async (signal) => {
      if (drag.isActive()) return;
      await pages.look(...range, signal);
      show();
    },
    LOOK_SECONDS,
    (error) => showError(place, error),
  );

  async function more() {
    if (loading || pages.complete || !pages.pages.length) return;
    loading = true;
    try {
      await pages.more();
    } catch (error) {
      showError(place, error);
    }
    loading = false;
    show();
  }

  async function all() {
    while (!pages.complete) await pages.more();
    show();
  }

  function show() {
    if (drag.isActive()) return;
    list.setItems(pages.jobs, { complete: pages.complete });
    const isEmpty = pages.complete && !pages.jobs.length;
    list.element.hidden = isEmpty;
    nothing.hidden = !isEmpty;
    if (isEmpty && !nothing.firstChild) nothing.append(emptyState(name, tab));
  }

  async function ended(job, error) {
    if (error) errors.set(job.id, error.message);
    else errors.delete(job.id);
    if (error) announce(error.message);
    await looking.again();
    list.refresh();
    if (document.activeElement === document.body && list.activeIndex !== undefined) list.focusIndex(list.activeIndex);
    changed();
  }

  async function change(job, body, said) {
    try {
      await put(["job", job.id], body);
      announce(said);
      await ended(job, null);
    } catch (error) {
      await ended(job, error);
    }
  }

  list.element.addEventListener("keydown", (event) => onKey(event, { list, pages, all, movable, hasPlace, change, manages, ended }));
  const resized = () => list.setRowHeight(rowHeight());
  narrow.addEventListener("change", resized);
  const ageing = setInterval(() => document.hidden || list.refresh(), AGE_SECONDS * 1000);
  return {
    element: h("section", { class: "fill", "aria-label": "Jobs" }, place, list.element, nothing),
    destroy() {
      clearInterval(ageing);
      narrow.removeEventListener("change", resized);
      looking.stop();
      list.destroy();
    },
  };
}

const rowHeight = () => (narrow.matches ? CARD_PIXELS : ROW_PIXELS);

function onKey(event, { list, pages, all, movable, hasPlace, change, manages, ended }) {
  const row = event.target.closest("[role=row][data-key]");
  const index = pages.jobs.findIndex((job) => `job-${job.id}` === row?.dataset.key);
  const job = pages.jobs[index];
  if (!job || event.ctrlKey || event.metaKey) return;
  const page = Math.max(1, Math.floor(list.element.clientHeight / list.rowHeight) - 1);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -index };
  const onRow = event.target === row;
  const actions = () => actionsFor(job, (error) => ended(job, error));
  if (event.altKey && event.key in PRIORITIES) {
    if (movable && hasPlace(job)) change(job, { priority: PRIORITIES[event.key] }, `Job ${job.id} moved.`);
  } else if (event.key in steps) list.focusIndex(index + steps[event.key]);
  else if (event.key === "End") all().then(() => list.focusIndex(pages.jobs.length - 1));
  else if (onRow && event.key === "Enter") location.hash = `#/job/${job.id}`;
  else if (onRow && (event.key === " " || event.key === "." || event.key === "ContextMenu")) openMenu(row.querySelector("button.icon-button") ?? row, actions(), row);
  else if (onRow && event.key === "Delete" && manages) actions().find((one) => one.id === "delete").run();
  else return;
  event.preventDefault();
}

function row(job, error, hasGrip, actions) {
  const cell = (kind, ...content) => h("span", { role: "gridcell", class: kind }, ...content);
  const grip = hasGrip && h("span", { class: "grip", title: "Drag to another place" }, icon("grip"));
  const why = error ? h("span", { class: "wrong" }, error) : (progressBar(job) ?? reasonOf(job));
  const text = summary(job);
  return h(
    "div",
    { class: "job-row", role: "row", "data-key": `job-${job.id}`, "aria-label": `Job ${job.id}, ${job.type} ${text}, ${job.status}` },
    cell("c-grip", grip),
    cell("c-job", link(`/#/job/${job.id}`, { class: "job-link" }, h("span", { class: "job-id" }, job.id), h("b", {}, job.type), text && h("span", { class: "job-text" }, text)), job.notes && h("span", { class: "note", title: job.notes }, job.notes)),
    cell("c-status", chip(job.status)),
    cell("c-why", why),
    cell("c-by", job.user_name),
    cell("c-when", when(job)),
    cell("c-acts", actions().length > 0 && menuButton(`Actions of job ${job.id}`, actions)),
  );
}

function emptyState(name, tab) {
  const [title, text] = EMPTY[tab];
  const enqueue = may("CreateJobs", name) && ["line", "all"].includes(tab) && link(enqueueHash(name), { class: "button primary" }, "Enqueue a job");
  return empty(title, text, ...[enqueue].filter(Boolean));
}

