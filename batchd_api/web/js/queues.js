// All queues: what state each is in, when its window opens, what waits in it.

import { get, getIfThere, put, remove } from "./api.js";
import { confirmDialog } from "./dialogs.js";
import { button, fill, h, link, whenChanged } from "./dom.js";
import { moment, number, until } from "./format.js";
import { time } from "./job_words.js";
import { menuButton } from "./menus.js";
import { empty, errorPlace, showError } from "./notices.js";
import { poll } from "./poll.js";
import { editQueue, newQueue } from "./queue_form.js";
import { may } from "./session.js";

const LOOK_SECONDS = 4;
const COUNTED = ["processing", "waiting", "new", "postponed", "failed", "done"];
const COUNT_LABELS = { processing: "running", waiting: "starting", new: "new", postponed: "held", failed: "failed", done: "done" };

export const queueHash = (name, tab) => `/#/queue/${encodeURIComponent(name)}${tab ? `/${tab}` : ""}`;
export const enqueueHash = (name) => `/#/enqueue/${encodeURIComponent(name)}`;

// [class, words]: what the queue does now.
export function stateOf(queue) {
  if (!queue.enabled) return ["off", "Off"];
  return queue.open ? ["open", "Open"] : ["closed", "Closed"];
}

export function windowOf(queue) {
  if (!queue.next_change) return queue.open ? "always open" : "its schedule never opens";
  const at = `${moment(queue.next_change)}, ${until(queue.next_change)}`;
  return queue.open ? `closes ${at}` : `opens ${at}`;
}

// From what its jobs took before: an estimate, and said so.
export const expectedEnd = (queue) => (queue.expected_end ? `done about ${moment(queue.expected_end)}` : null);

export const statePill = (queue) => {
  const [kind, words] = stateOf(queue);
  return h("span", { class: `pill ${kind}` }, words);
};

// Statistics are for those who manage jobs; others see no counts.
export async function counts(queues, signal) {
  if (may("ManageJobs")) return get(["stats"], {}, { signal });
  const own = queues.filter((queue) => may("ManageJobs", queue.name));
  const found = await Promise.all(own.map(async (queue) => [queue.name, await getIfThere(["stats", queue.name], {}, { signal })]));
  return Object.fromEntries(found);
}

export function queueActions(queue, again, fail) {
  if (!may("ManageQueues", queue.name)) return [];
  const set = (enabled) => () => put(["queue", queue.name], { enabled }).then(again, fail);
  return [
    queue.enabled
      ? { label: "Turn off: start no jobs", name: "pause", run: set(false) }
      : { label: "Turn on", name: "play", run: set(true) },
    { label: "Settings…", name: "edit", run: async () => (await editQueue(queue)) && again() },
    { label: "Delete done jobs…", name: "trash", run: async () => (await askClear(queue)) && again() },
    { label: "Delete the queue…", name: "trash", danger: true, run: async () => (await askDelete(queue)) && again("gone") },
  ];
}

function askClear(queue) {
  return confirmDialog({
    title: `Delete the done jobs of ${queue.title}?`,
    text: "They, their output and their runs in Prefect go away for good. Failed jobs stay.",
    action: "Delete them",
    submit: () => remove(["queue", queue.name], { status: "done" }),
  });
}

// The facade refuses at first where there are jobs; its sentence is then the question.
async function askDelete(queue) {
  let forced = false;
  return confirmDialog({
    title: `Delete the queue ${queue.title}?`,
    text: "An empty queue just goes. If it has jobs you are told how many; delete again and they go too, and running ones are stopped.",
    action: "Delete",
    submit: async () => {
      try {
        await remove(["queue", queue.name], forced ? { forced: true } : {});
      } catch (error) {
        forced = error.status === 403 && error.message.includes("force");
        throw error;
      }
    },
  });
}

export function queuesPage(root) {
  document.title = "Queues · batchd";
  const place = errorPlace();
  const content = h("div", { "aria-busy": "true" });
  const create = may("ManageQueues") && button("New queue", async () => (await newQueue()) && looking.again(), { name: "plus" });
  root.append(h("header", { class: "head" }, h("h1", {}, "Queues"), h("div", { class: "row" }, create)), place, content);
  const draw = whenChanged((queues, stats) => {
    content.removeAttribute("aria-busy");
    fill(content, queues.length ? table(queues, stats, () => looking.again(), (error) => showError(place, error)) : nothing(create));
  });
  const looking = poll(
    async (signal) => {
      const queues = await get(["queue"], {}, { signal });
      const stats = await counts(queues, signal);
      draw(queues, stats);
    },
    LOOK_SECONDS,
    (error) => showError(place, error),
  );
  return looking.stop;
}

function nothing(create) {
  return create
    ? empty("No queues yet", "A queue holds jobs and starts them in its time window. Make one to begin.")
    : empty("No queues to see", "You may not view any queue. Somebody who manages users can permit ViewQueues.");
}

function table(queues, stats, again, fail) {
  const head = ["Queue", "State", "Window", "Jobs", "Host", ""].map((label) => h("th", { scope: "col" }, label || h("span", { class: "unseen" }, "Actions")));
  return h(
    "table",
    { class: "table cards" },
    h("thead", {}, h("tr", {}, head)),
    h("tbody", {}, queues.map((queue) => row(queue, statsOf(queue, stats), again, fail))),
  );
}

// None are told of a queue without jobs.
const statsOf = (queue, stats) => stats[queue.name] ?? (may("ManageJobs", queue.name) ? {} : null);

function row(queue, stats, again, fail) {
  const actions = queueActions(queue, again, fail);
  return h(
    "tr",
    { class: "linked" },
    h("th", { scope: "row" }, link(queueHash(queue.name), { class: "cover" }, queue.title), queue.title !== queue.name && h("span", { class: "sub" }, queue.name)),
    h("td", {}, statePill(queue)),
    h("td", {}, windowOf(queue), h("span", { class: "sub" }, queue.schedule_name)),
    h("td", {}, countChips(stats), queue.expected_end && h("span", { class: "sub" }, time(queue.expected_end, expectedEnd(queue)))),
    h("td", { class: "quiet" }, queue.host_name ?? "this machine"),
    h(
      "td",
      { class: "acts" },
      may("CreateJobs", queue.name) && link(enqueueHash(queue.name), { class: "button small", "aria-label": `Enqueue in ${queue.title}` }, "Enqueue"),
      actions.length > 0 && menuButton(`Actions of ${queue.title}`, () => actions),
    ),
  );
}

export function countChips(stats) {
  const shown = COUNTED.filter((status) => stats?.[status]);
  if (!shown.length) return h("span", { class: "quiet" }, stats ? "empty" : "–");
  return h("span", { class: "counts" }, shown.map((status) => h("span", { class: `count ${status}` }, h("b", {}, number(stats[status])), ` ${COUNT_LABELS[status]}`)));
}
