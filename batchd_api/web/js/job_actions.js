// What one can do with a job, as its status and one's rights allow.

import { get, post, put, remove } from "./api.js";
import { choice, confirmDialog, field, formDialog } from "./dialogs.js";
import { editJob } from "./job_form.js";
import { announce, toast } from "./notices.js";
import { FINAL, IN_LINE, UNDER_WAY } from "./job_words.js";
import { may } from "./session.js";


// `done(error)` hears of each end; a dialog shows its own errors.
export function actionsFor(job, done) {
  if (!may("ManageJobs", job.queue)) return copyOf(job);
  const direct = (run, said) => async () => {
    try {
      await run();
      announce(said);
      done(null);
    } catch (error) {
      done(error);
    }
  };
  const asked = (ask) => async () => (await ask(job)) && done(null);
  const status = (to, said) => direct(() => put(["job", job.id], { status: to }), `Job ${job.id} ${said}.`);
  const priority = (to) => direct(() => put(["job", job.id], { priority: to }), `Job ${job.id} moved.`);
  const inLine = IN_LINE.includes(job.status);
  return [
    job.status === "New" && { id: "hold", label: "Hold", name: "pause", run: status("Postponed", "is held") },
    job.status === "Postponed" && { id: "release", label: "Release", name: "play", run: status("New", "is released") },
    FINAL.includes(job.status) && { id: "retry", label: "Run again", name: "retry", run: status("New", "runs again") },
    !FINAL.includes(job.status) && { id: "cancel", label: "Cancel…", name: "stop", run: asked(askCancel) },
    inLine && { id: "edit", label: "Change…", name: "edit", run: asked(editJob) },
    inLine && { id: "first", label: "To the first place", name: "top", hint: "Alt Home", run: priority("first") },
    inLine && { id: "more", label: "One up", name: "up", hint: "Alt ↑", run: priority("more") },
    inLine && { id: "less", label: "One down", name: "down", hint: "Alt ↓", run: priority("less") },
    inLine && { id: "last", label: "To the last place", name: "bottom", hint: "Alt End", run: priority("last") },
    !UNDER_WAY.includes(job.status) && { id: "move", label: "Move to a queue…", name: "move", run: asked(askMove) },
    ...copyOf(job),
    { id: "delete", label: "Delete…", name: "trash", hint: "Del", danger: true, run: asked(askDelete) },
  ].filter(Boolean);
}

function copyOf(job) {
  if (!may("CreateJobs", job.queue)) return [];
  const run = () => {
    location.hash = `#/enqueue/${encodeURIComponent(job.queue)}`;
    sessionStorage.setItem("batchd-copy", JSON.stringify({ type: job.type, params: job.params, host_name: job.host_name, notes: job.notes }));
  };
  return [{ id: "copy", label: "Enqueue one like it…", name: "copy", run }];
}

function askCancel(job) {
  const running = UNDER_WAY.includes(job.status);
  return confirmDialog({
    title: `Cancel job ${job.id}?`,
    text: running
      ? "Its command is told to end, with all that it has started, and killed if it does not. The job is then Failed."
      : "It will not run; it is then Failed. It can be run again later.",
    action: "Cancel the job",
    submit: () => post(["job", job.id, "cancel"]),
  });
}

function askDelete(job) {
  const running = UNDER_WAY.includes(job.status) ? " It runs now, and is stopped." : "";
  return confirmDialog({
    title: `Delete job ${job.id}?`,
    text: `The job, its output and its run in Prefect go away for good.${running}`,
    action: "Delete",
    submit: () => remove(["job", job.id]),
  });
}

async function askMove(job) {
  const others = (await get(["queue"])).filter((queue) => queue.name !== job.queue && may("ManageJobs", queue.name));
  if (!others.length) {
    toast("There is no other queue that you may move it to.");
    return false;
  }
  const target = choice("queue", others.map((queue) => [queue.name, queue.title]), null, { autofocus: true });
  return formDialog({
    title: `Move job ${job.id} to another queue`,
    body: field("Queue", target, { hint: "It goes to the last place there." }),
    action: "Move",
    submit: () => put(["job", job.id], { move: target.value }),
  });
}
