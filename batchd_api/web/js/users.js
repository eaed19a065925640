// Users and what they may do; for superusers.

import { get, post, put, remove } from "./api.js";
import { choice, confirmDialog, field, formDialog, input } from "./dialogs.js";
import { button, fill, h, iconButton, whenChanged } from "./dom.js";
import { menuButton } from "./menus.js";
import { empty, errorPlace, showError, toast } from "./notices.js";
import { poll } from "./poll.js";
import { isSuperuser, session } from "./session.js";

const LOOK_SECONDS = 10;
const RIGHTS = {
  SuperUser: "everything",
  CreateJobs: "enqueue jobs",
  ViewJobs: "see jobs and their output",
  ManageJobs: "hold, cancel, move, delete jobs",
  ViewQueues: "see queues",
  ManageQueues: "make, change, delete queues",
  ViewSchedules: "see schedules",
  ManageSchedules: "make, change, delete schedules",
};
const TIED_TO_QUEUES = ["CreateJobs", "ViewJobs", "ManageJobs", "ViewQueues", "ManageQueues"];

export function usersPage(root) {
  document.title = "Users · batchd";
  if (!isSuperuser()) {
    root.append(empty("For superusers", "Users and permissions are managed by somebody with the permission SuperUser."));
    return;
  }
  const place = errorPlace();
  const content = h("div", { "aria-busy": "true" });
  const create = button("New user", async () => (await newUser()) && looking.again(), { name: "plus" });
  root.append(h("header", { class: "head" }, h("h1", {}, "Users"), h("div", { class: "row" }, create)), place, content);
  const draw = whenChanged((names, permissions) => {
    content.removeAttribute("aria-busy");
    fill(content, names.length ? table(names, permissions, () => looking.again()) : nothing());
  });
  const looking = poll(
    async (signal) => {
      const names = await get(["user"], {}, { signal });
      const permissions = await Promise.all(names.map((name) => get(["user", name, "permissions"], {}, { signal })));
      draw(names, permissions);
    },
    LOOK_SECONDS,
    (error) => showError(place, error),
  );
  return looking.stop;
}

const nothing = () => empty("No users yet", "Make the first one here, or with batchd-admin create-superuser.");

function table(names, permissions, again) {
  const heads = ["User", "May", ""].map((label) => h("th", { scope: "col" }, label || h("span", { class: "unseen" }, "Actions")));
  const rows = names.map((name, number) => row(name, permissions[number], again));
  return h("table", { class: "table cards" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows));
}

function row(name, permissions, again) {
  const revoke = (id, words) => async () => (await askRevoke(name, id, words)) && again();
  const items = [
    { label: "Permit something…", name: "plus", run: async () => (await grant(name)) && again() },
    { label: "Set a password…", name: "key", run: () => setPassword(name) },
    { label: "Delete…", name: "trash", danger: true, run: async () => (await askDelete(name)) && again() },
  ];
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, name, name === session.name && h("span", { class: "sub" }, "you")),
    h(
      "td",
      {},
      h(
        "ul",
        { class: "grants" },
        permissions.map(([id, permission]) => {
          const words = wordsOf(permission);
          return h("li", {}, words, iconButton("close", `Revoke ${words} of ${name}`, revoke(id, words)));
        }),
        !permissions.length && h("li", { class: "bare quiet" }, "nothing yet"),
        h("li", { class: "bare" }, iconButton("plus", `Permit ${name} something`, items[0].run)),
      ),
    ),
    h("td", { class: "acts" }, menuButton(`Actions of ${name}`, () => items)),
  );
}

function wordsOf({ permission, queue_name: queue, type_name: type, host_name: host }) {
  const where = [queue && `queue ${queue}`, type && `type ${type}`, host && (host === "__default__" ? "default host" : `host ${host}`)];
  return [permission, ...where.filter(Boolean)].join(" · ");
}

function askRevoke(name, id, words) {
  return confirmDialog({
    title: `Revoke ${words}?`,
    text: `${name} may then no longer do this.`,
    action: "Revoke",
    submit: () => remove(["user", name, "permissions", id]),
  });
}

function askDelete(name) {
  return confirmDialog({
    title: `Delete the user ${name}?`,
    text: "The login and all permissions go away. Jobs keep the name.",
    action: "Delete",
    submit: () => remove(["user", name]),
  });
}

function passwordFields() {
  const password = input("password", "", { type: "password", required: true, autocomplete: "new-password" });
  return [password, field("Password", password)];
}

function newUser() {
  const name = input("name", "", { required: true, autofocus: true });
  const [password, labelled] = passwordFields();
  return formDialog({
    title: "New user",
    body: [field("Name", name), labelled, h("p", { class: "hint" }, "A new user may do nothing until you permit it.")],
    action: "Make the user",
    submit: () => post(["user"], { name: name.value, password: password.value }),
  });
}

async function setPassword(name) {
  const [password, labelled] = passwordFields();
  const submit = () => put(["user", name], { password: password.value });
  if (await formDialog({ title: `New password of ${name}`, body: labelled, action: "Set", submit })) toast(`${name} has a new password.`);
}

const any = (label, names) => [["", label], ...names.map((name) => [name])];

async function grant(name) {
  const [queues, types, hosts] = await Promise.all([get(["queue"]), get(["type"]), get(["host"])]);
  const right = choice("permission", Object.entries(RIGHTS).map(([key, words]) => [key, `${key}: ${words}`]), "ViewJobs", { onchange: () => narrow() });
  const queue = choice("queue_name", any("every queue", queues.map((one) => one.name)), "");
  const type = choice("type_name", any("every type", types.map((one) => one.name)), "");
  const host = choice("host_name", [["", "every host"], ["__default__", "only where the queue says"], ...hosts.map((one) => [one])], "");
  const byQueue = field("In", queue);
  const bySort = [field("Of", type), field("On", host)];
  const narrow = () => {
    byQueue.hidden = !TIED_TO_QUEUES.includes(right.value);
    for (const one of bySort) one.hidden = right.value !== "CreateJobs";
  };
  narrow();
  return formDialog({
    title: `Permit ${name}`,
    body: h("div", { class: "fields" }, field("To", right, { wide: true }), byQueue, bySort),
    action: "Permit",
    submit: () => {
      const body = { permission: right.value };
      if (!byQueue.hidden) body.queue_name = queue.value || null;
      if (right.value === "CreateJobs") Object.assign(body, { type_name: type.value || null, host_name: host.value || null });
      return post(["user", name, "permissions"], body);
    },
  });
}
