// Schedules: when queues start jobs, as weeks.

import { get, remove } from "./api.js";
import { confirmDialog } from "./dialogs.js";
import { button, fill, h, link, whenChanged } from "./dom.js";
import { menuButton } from "./menus.js";
import { empty, errorPlace, showError } from "./notices.js";
import { poll } from "./poll.js";
import { queueHash } from "./queues.js";
import { editSchedule } from "./schedule_form.js";
import { may } from "./session.js";
import { daysText, periodsText, weekChart } from "./week_chart.js";

const LOOK_SECONDS = 10;

export function schedulesPage(root) {
  document.title = "Schedules · batchd";
  const place = errorPlace();
  const content = h("div", { "aria-busy": "true" });
  const create = may("ManageSchedules") && button("New schedule", async () => (await editSchedule(null)) && looking.again(), { name: "plus" });
  root.append(h("header", { class: "head" }, h("h1", {}, "Schedules"), h("div", { class: "row" }, create)), place, content);
  const draw = whenChanged((schedules, queues) => {
    content.removeAttribute("aria-busy");
    const cards = schedules.map((one) => card(one, users(one, queues), again));
    fill(content, cards.length ? h("div", { class: "cards-grid" }, cards) : nothing());
  });
  const looking = poll(
    async (signal) => {
      const [schedules, queues] = await Promise.all([get(["schedule"], {}, { signal }), get(["queue"], {}, { signal })]);
      draw(schedules, queues);
    },
    LOOK_SECONDS,
    (error) => showError(place, error),
  );
  const again = () => looking.again();
  return looking.stop;
}

const users = (schedule, queues) => queues.filter((queue) => queue.schedule_name === schedule.name);
const nothing = () => empty("No schedules", "A schedule says when the queues that use it start jobs: the nights, the weekend, always.");

function card(schedule, queues, again) {
  const actions = [
    { label: "Change…", name: "edit", run: async () => (await editSchedule(schedule)) && again() },
    { label: "Delete…", name: "trash", danger: true, run: async () => (await askDelete(schedule, queues)) && again() },
  ];
  const used = queues.map((queue) => link(queueHash(queue.name), { "data-key": `${schedule.name}-${queue.name}` }, queue.title));
  return h(
    "article",
    { class: "card" },
    h("header", { class: "head small" }, h("h2", {}, schedule.name), may("ManageSchedules") && menuButton(`Actions of ${schedule.name}`, () => actions)),
    h("p", { class: "quiet" }, `${daysText(schedule)}, ${periodsText(schedule)}`),
    weekChart(schedule),
    h("p", { class: "used" }, used.length ? ["Used by ", used.flatMap((one, number) => (number ? [", ", one] : [one]))] : h("span", { class: "quiet" }, "Used by no queue")),
  );
}

function askDelete(schedule, queues) {
  const names = queues.map((queue) => queue.title).join(", ");
  return confirmDialog({
    title: `Delete the schedule ${schedule.name}?`,
    text: queues.length ? `It is used by ${names}. These queues and all their jobs go away with it, for good.` : "No queue uses it.",
    action: queues.length ? "Delete it and its queues" : "Delete",
    submit: () => remove(["schedule", schedule.name], queues.length ? { forced: true } : {}),
  });
}
