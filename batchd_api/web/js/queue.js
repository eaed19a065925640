// One queue: its window, and its jobs in their order.

import { get, getIfThere, put } from "./api.js";
import { button, fill, h, icon, link, whenChanged } from "./dom.js";
import { moment, number } from "./format.js";
import { jobTable } from "./job_table.js";
import { menuButton } from "./menus.js";
import { errorPlace, showError } from "./notices.js";
import { poll } from "./poll.js";
import { enqueueHash, expectedEnd, queueActions, queueHash, statePill, windowOf } from "./queues.js";
import { may } from "./session.js";

const LOOK_SECONDS = 4;
const OPENINGS_SHOWN = 3;
const LINE = ["new", "waiting", "processing", "postponed"];
const TABS = {
  line: { label: "In line", statuses: LINE, query: { status: LINE.join(",") } },
  failed: { label: "Failed", statuses: ["failed"], query: { status: "failed", backwards: true } },
  done: { label: "Done", statuses: ["done"], query: { status: "done", backwards: true } },
  all: { label: "All", statuses: [...LINE, "failed", "done"], query: { status: "all" } },
};

export function queuePage(root, [name, tab]) {
  const chosen = TABS[tab] ? tab : "line";
  document.title = `${name} · batchd`;
  root.classList.add("tall");
  const head = h("header", { class: "head" }, h("div", {}, h("h1", {}, name)));
  const tabs = h("nav", { class: "tabs", "aria-label": "Which jobs" });
  const place = errorPlace();
  root.append(h("nav", { class: "crumbs", "aria-label": "Where you are" }, link("/#/", {}, icon("back"), "Queues")), head, place, tabs);

  const fail = (error) => showError(place, error);
  const draw = whenChanged((queue, openings, stats) => {
    fill(tabs, tabLinks(name, chosen, stats));
    if (queue) fill(head, heading(queue, openings), actions(queue, again, fail));
  });
  const looking = poll(
    async (signal) => {
      const queue = await getIfThere(["queue", name], {}, { signal });
      const openings = queue && may("ViewSchedules") ? await getIfThere(["schedule", queue.schedule_name, "openings"], { count: OPENINGS_SHOWN }, { signal }) : null;
      const stats = may("ManageJobs", name) ? await get(["stats", name], {}, { signal }) : null;
      draw(queue, openings, stats);
    },
    LOOK_SECONDS,
    fail,
  );
  const again = (gone) => (gone === "gone" ? (location.hash = "#/") : looking.again());
  const table = jobTable({ name, tab: chosen, query: TABS[chosen].query, changed: () => looking.again() });
  fill(tabs, tabLinks(name, chosen, null));
  root.append(table.element);
  return () => {
    looking.stop();
    table.destroy();
  };
}

function heading(queue, openings) {
  const facts = [
    queue.title !== queue.name && queue.name,
    queue.schedule_name !== "anytime" && `schedule ${queue.schedule_name}`,
    queue.host_name && `on ${queue.host_name}`,
    expectedEnd(queue),
    queue.max_jobs && `${queue.max_jobs} at once`,
  ];
  return h(
    "div",
    {},
    h("h1", {}, queue.title, statePill(queue)),
    h("p", { class: "quiet" }, [windowOf(queue), ...facts.filter(Boolean)].join(" · ")),
    nextOpenings(openings),
  );
}

// The one that is open now is said already.
function nextOpenings(openings) {
  const coming = (openings ?? []).filter((one) => one.end && new Date(one.begin) > Date.now());
  if (!coming.length) return null;
  return h("p", { class: "openings quiet" }, icon("clock"), "Next", coming.map((one) => h("span", {}, `${moment(one.begin)} – ${moment(one.end, new Date(one.begin))}`)));
}

function actions(queue, again, fail) {
  const items = queueActions(queue, again, fail);
  const set = (enabled) => () => put(["queue", queue.name], { enabled }).then(() => again(), fail);
  const onOff =
    may("ManageQueues", queue.name) &&
    (queue.enabled ? button("Turn off", set(false), { name: "pause", key: "on-off" }) : button("Turn on", set(true), { name: "play", key: "on-off" }));
  return h(
    "div",
    { class: "row" },
    onOff,
    may("CreateJobs", queue.name) && link(enqueueHash(queue.name), { class: "button primary" }, icon("plus"), "Enqueue"),
    items.length > 0 && menuButton(`Actions of ${queue.title}`, () => items),
  );
}

function tabLinks(name, chosen, stats) {
  return Object.entries(TABS).map(([tab, { label, statuses }]) => {
    const count = stats && statuses.reduce((sum, status) => sum + (stats[status] ?? 0), 0);
    const current = tab === chosen ? { "aria-current": "true" } : {};
    return link(queueHash(name, tab), { class: "tab", ...current }, label, stats && h("span", { class: "tab-count" }, number(count)));
  });
}
