// The machines: what state each is in, what runs there, since when it has nothing to do.

import { get, getIfThere, post } from "./api.js";
import { confirmDialog } from "./dialogs.js";
import { fill, h, link, whenChanged } from "./dom.js";
import { ago, until } from "./format.js";
import { time } from "./job_words.js";
import { menuButton } from "./menus.js";
import { empty, errorPlace, showError, toast } from "./notices.js";
import { poll } from "./poll.js";
import { isSuperuser } from "./session.js";

const LOOK_SECONDS = 4;
const STATE_KINDS = { on: "open", ready: "open", running: "open", busy: "open", active: "open", starting: "closed", stopping: "closed", draining: "closed", failed: "wrong" };
const ACTIONS = [
  { id: "start", label: "Start", name: "play", said: "is told to start" },
  { id: "stop", label: "Stop…", name: "stop", said: "is told to stop", ask: "It is stopped at once. Jobs that run there lose their machine." },
  { id: "drain", label: "Drain: no new jobs", name: "pause", said: "gets no new jobs" },
  { id: "resume", label: "Resume", name: "retry", said: "gets jobs again" },
  { id: "test", label: "Test the connection", name: "check", said: "answers as it should" },
];

export function hostsPage(root) {
  document.title = "Hosts · batchd";
  const place = errorPlace();
  const content = h("div", { "aria-busy": "true" });
  root.append(h("header", { class: "head" }, h("h1", {}, "Hosts")), place, content);
  const draw = whenChanged((hosts) => {
    content.removeAttribute("aria-busy");
    fill(content, hosts.length ? table(hosts, run) : nothing());
  });
  const looking = poll(
    async (signal) => {
      const names = await get(["host"], {}, { signal });
      const details = await Promise.all(names.map((name) => getIfThere(["host", name], {}, { signal })));
      draw(names.map((name, number) => details[number] ?? { name }));
    },
    LOOK_SECONDS,
    (error) => showError(place, error),
  );

  async function run(host, action) {
    const submit = () => post(["host", host.name, action.id]);
    const asked = { title: `${action.label.replace("…", "")} ${host.name}?`, text: action.ask, action: "Stop it", submit };
    try {
      showError(place, null);
      if (action.ask) {
        if (!(await confirmDialog(asked))) return;
      } else await submit();
      toast(`${host.name} ${action.said}.`);
      await looking.again();
    } catch (error) {
      showError(place, error);
    }
  }
  return looking.stop;
}

function nothing() {
  return empty("No hosts are defined", "Jobs run on the machine of the dispatcher. A file in hosts/ of the configuration defines another one.");
}

function table(hosts, run) {
  const known = hosts.some((host) => host.state);
  const labels = known ? ["Host", "State", "Jobs", "Idle", ""] : ["Host", ""];
  const heads = labels.map((label) => h("th", { scope: "col" }, label || h("span", { class: "unseen" }, "Actions")));
  return [
    h("table", { class: "table cards" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, hosts.map((host) => row(host, known, run)))),
    !known && h("p", { class: "quiet" }, "This version of batchd tells only the names of its hosts."),
  ];
}

function row(host, known, run) {
  const actions = isSuperuser() && host.state ? ACTIONS.map((action) => ({ ...action, run: () => run(host, action) })) : [];
  const kind = STATE_KINDS[host.state?.toLowerCase()] ?? "off";
  const cells = [
    h("td", {}, h("span", { class: `pill ${kind}` }, host.state ?? "unknown"), host.since && h("span", { class: "sub" }, time(host.since, ago(host.since))), [host.trouble, host.alarm].map((words) => words && h("span", { class: "sub wrong" }, String(words)))),
    h("td", {}, jobsOf(host)),
    h("td", {}, host.idle_until ? time(host.idle_until, `stops ${until(host.idle_until)}`) : h("span", { class: "quiet" }, "–")),
  ];
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, host.name, host.title && h("span", { class: "sub" }, host.title)),
    known && cells,
    h("td", { class: "acts" }, actions.length > 0 && menuButton(`Actions of ${host.name}`, () => actions)),
  );
}

// A list of job numbers, or only how many.
function jobsOf(host) {
  if (Array.isArray(host.jobs) && host.jobs.length) {
    return host.jobs.map((job) => link(`/#/job/${job.id ?? job}`, { class: "job-ref" }, `#${job.id ?? job}`));
  }
  const count = Array.isArray(host.jobs) ? 0 : host.jobs;
  return count ? `${count}` : h("span", { class: "quiet" }, "none");
}
