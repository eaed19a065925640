// Changing a job that has not begun.

import { get, put } from "./api.js";
import { choice, field, formDialog, input } from "./dialogs.js";
import { h } from "./dom.js";
import { fromLocalInput, localInput } from "./format.js";
import { paramFields } from "./param_fields.js";

const NO_HOST = "*";

export async function editJob(job) {
  const type = await get(["type", job.type]);
  const hosts = await get(["queue", job.queue, "type", job.type, "host"]);
  const params = paramFields(type, job.params);
  const host = choice("host_name", hostChoices(hosts, job.host_name), job.host_name ?? NO_HOST);
  const start = input("start_time", job.start_time ? localInput(job.start_time) : "", { type: "datetime-local" });
  const notes = h("textarea", { name: "notes", rows: 2 }, job.notes ?? "");
  const body = [params.element, field("Host", host), field("Not before", start), field("Notes", notes, { wide: true })];
  return formDialog({
    title: `Change job ${job.id}`,
    body: h("div", { class: "fields" }, body),
    action: "Change",
    submit: () => put(["job", job.id], changes(job, { params, host, start, notes })),
  });
}

function hostChoices(hosts, own) {
  const choices = hosts.map((name) => (name === "__default__" ? [NO_HOST, "as the queue or the type says"] : [name, name]));
  const known = choices.some(([value]) => value === (own ?? NO_HOST));
  return known ? choices : [[own ?? NO_HOST, own ?? "as the queue or the type says"], ...choices];
}

function changes(job, { params, host, start, notes }) {
  const body = { params: params.values(), notes: notes.value || null };
  if (host.value !== (job.host_name ?? NO_HOST)) body.host_name = host.value;
  const before = job.start_time ? localInput(job.start_time) : "";
  if (start.value !== before) body.start_time = fromLocalInput(start.value);
  return body;
}
