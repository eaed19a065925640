// One job: what it is, why it waits, what can be done, and its output as it comes.

import { events, get } from "./api.js";
import { button, fill, h, icon, iconButton, link, whenChanged } from "./dom.js";
import { actionsFor } from "./job_actions.js";
import { FINAL, IN_LINE, chip, progressBar, reasonOf, runTime, time } from "./job_words.js";
import { menuButton } from "./menus.js";
import { announce, errorPlace, showError, toast } from "./notices.js";
import { outputView } from "./output.js";
import { poll } from "./poll.js";
import { queueHash } from "./queues.js";

const LOOK_SECONDS = 5;
const AGAIN_MILLISECONDS = 2000;
const IN_FRONT = ["hold", "release", "cancel", "retry", "edit"];

export function jobPage(root, [text]) {
  const id = Number(text);
  document.title = `Job ${id} · batchd`;
  root.classList.add("tall");
  const crumbs = h("nav", { class: "crumbs", "aria-label": "Where you are" }, link("/#/", {}, icon("back"), "Queues"));
  const head = h("header", { class: "head" }, h("h1", {}, `Job ${id}`));
  const place = errorPlace();
  const facts = h("div", {});
  const output = outputView(id);
  root.append(crumbs, head, place, h("div", { class: "job-body" }, facts, output.element));

  const stop = new AbortController();
  let job = null;
  const done = async (error) => {
    showError(place, error);
    if (error) return;
    await looking.again();
  };
  const draw = whenChanged((shown) => {
    fill(crumbs, link("/#/", {}, icon("back"), "Queues"), link(queueHash(shown.queue), {}, shown.queue));
    fill(head, heading(shown), actions(shown, done));
    fill(facts, factsOf(shown));
    output.note(shown);
  });
  const looking = poll(
    async (signal) => {
      const queue = job?.queue;
      try {
        job = await get(["job", id], {}, { signal });
      } catch (error) {
        if (error.status !== 404 || !queue) throw error;
        toast(`Job ${id} is deleted.`);
        location.hash = queueHash(queue).slice(2);
        return;
      }
      draw({ ...job, stdout: null, stderr: null });
    },
    LOOK_SECONDS,
    (error) => showError(place, error),
  );
  follow(id, output, stop.signal, () => looking.again());
  return () => {
    stop.abort();
    looking.stop();
  };
}

// From event to event; where the connection ends, on behind the last one that came.
async function follow(id, output, signal, changed) {
  let last = null;
  let status = null;
  let ended = false;
  while (!signal.aborted && !ended) {
    try {
      for await (const event of events(["job", id, "stream"], last, signal)) {
        last = event.id;
        if (event.kind === "output") output.add(event.data);
        if (event.kind === "status" && event.data.status !== status) {
          if (status) announce(`Job ${id} is ${event.data.status}.`);
          status = event.data.status;
          changed();
        }
        if (event.kind === "end") ended = true;
      }
    } catch (error) {
      if (signal.aborted || [403, 404].includes(error.status)) return;
    }
    if (!ended) await new Promise((resolve) => setTimeout(resolve, AGAIN_MILLISECONDS));
  }
  return last;
}

function heading(job) {
  const why = reasonOf(job);
  return h(
    "div",
    {},
    h("h1", {}, h("span", { class: "job-id" }, `#${job.id}`), job.type, chip(job.status)),
    why && h("p", { class: job.status === "Failed" ? "why wrong" : "why" }, why),
    progressBar(job, { long: true }),
  );
}

function actions(job, done) {
  const all = actionsFor(job, done);
  const front = all.filter((one) => IN_FRONT.includes(one.id));
  const rest = all.filter((one) => !IN_FRONT.includes(one.id));
  return h(
    "div",
    { class: "row" },
    front.map((one) => button(one.label, one.run, { name: one.name, key: one.id })),
    rest.length > 0 && menuButton(`More actions of job ${job.id}`, () => rest),
  );
}

function factsOf(job) {
  const ran = job.exit_code !== null;
  const facts = [
    ["Notes", job.notes],
    ["By", job.user_name],
    ["Host", job.host_name ?? "as its type or queue says"],
    ["Enqueued", time(job.create_time)],
    ["Not before", job.start_time && time(job.start_time)],
    ["Started", job.started_time && time(job.started_time)],
    ["Ended", FINAL.includes(job.status) && job.result_time && time(job.result_time)],
    [FINAL.includes(job.status) ? "Took" : "Runs for", !IN_LINE.includes(job.status) && runTime(job)],
    ["Expected end", !job.progress?.eta && job.expected_end && h("span", {}, "about ", time(job.expected_end))],
    ["Exit code", ran && h("code", { class: job.exit_code ? "wrong" : "" }, job.exit_code)],
    ["Failed tries", job.try_count > 0 && String(job.try_count)],
    ["Folder", job.working_directory && h("code", {}, job.working_directory)],
    ["In Prefect", job.flow_run_url && h("a", { href: job.flow_run_url, target: "_blank", rel: "noopener" }, "flow run", icon("out"))],
  ].filter(([, value]) => value);
  return [
    h("dl", { class: "facts" }, facts.map(([label, value]) => [h("dt", {}, label), h("dd", {}, value)])),
    paramsOf(job),
  ];
}

function paramsOf(job) {
  const params = Object.entries(job.params);
  if (!params.length) return null;
  const copy = (value) => iconButton("copy", "Copy", () => navigator.clipboard.writeText(value).then(() => toast("Copied.")));
  return h(
    "dl",
    { class: "facts params-shown" },
    params.map(([name, value]) => [h("dt", {}, name), h("dd", {}, h("code", {}, value), navigator.clipboard && copy(value))]),
  );
}
