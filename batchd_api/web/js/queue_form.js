// Making a queue and changing its settings.

import { get, getIfThere, post, put } from "./api.js";
import { choice, field, formDialog, input } from "./dialogs.js";
import { h } from "./dom.js";

const LOCAL = "*";

async function fields(queue) {
  const [schedules, hosts] = await Promise.all([getIfThere(["schedule"]), get(["host"])]);
  const names = schedules?.map((schedule) => schedule.name) ?? [queue.schedule_name];
  return {
    title: input("title", queue.title ?? ""),
    schedule_name: choice("schedule_name", names.map((name) => [name]), queue.schedule_name),
    host_name: choice("host_name", [[LOCAL, "this machine"], ...hosts.map((name) => [name])], queue.host_name ?? LOCAL),
    max_jobs: input("max_jobs", queue.max_jobs ?? "", { type: "number", min: 1 }),
    autostart_job_count: input("autostart_job_count", queue.autostart_job_count ?? "", { type: "number", min: 1 }),
  };
}

function labelled(controls) {
  return [
    field("Title", controls.title),
    field("Schedule", controls.schedule_name, { hint: "the times in which it starts jobs" }),
    field("Host", controls.host_name, { hint: "for jobs whose type or person names none" }),
    field("Jobs at once", controls.max_jobs, { hint: "empty: as many as there are workers" }),
    field("Turn on by itself", controls.autostart_job_count, { hint: "when it is off and this many jobs wait; empty: never" }),
  ];
}

const count = (control) => (control.value === "" ? null : Number(control.value));

export async function newQueue() {
  const controls = await fields({ schedule_name: "anytime" });
  const name = input("name", "", { required: true, autofocus: true });
  return formDialog({
    title: "New queue",
    body: h("div", { class: "fields" }, field("Name", name, { hint: "as commands and programs say it" }), labelled(controls)),
    action: "Make the queue",
    submit: () =>
      post(["queue"], {
        name: name.value,
        title: controls.title.value || null,
        schedule_name: controls.schedule_name.value,
        host_name: controls.host_name.value === LOCAL ? null : controls.host_name.value,
        max_jobs: count(controls.max_jobs),
        autostart_job_count: count(controls.autostart_job_count),
      }),
  });
}

export async function editQueue(queue) {
  const controls = await fields(queue);
  return formDialog({
    title: `Settings of ${queue.name}`,
    body: h("div", { class: "fields" }, labelled(controls)),
    action: "Save",
    submit: () =>
      put(["queue", queue.name], {
        title: controls.title.value || queue.name,
        schedule_name: controls.schedule_name.value,
        host_name: controls.host_name.value,
        max_jobs: count(controls.max_jobs) ?? 0,
        autostart_job_count: count(controls.autostart_job_count),
      }),
  });
}
