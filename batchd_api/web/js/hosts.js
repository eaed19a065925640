// The machines: what state each is in, what runs there, since when it has nothing to do.

import { get, post } from "./api.js";
import { confirmDialog, infoDialog } from "./dialogs.js";
import { fill, h, whenChanged } from "./dom.js";
import { ago, duration, until } from "./format.js";
import { time } from "./job_words.js";
import { menuButton } from "./menus.js";
import { empty, errorPlace, showError, toast } from "./notices.js";
import { poll } from "./poll.js";
import { isSuperuser } from "./session.js";

const LOOK_SECONDS = 4;
const STATE_KINDS = { on: "open", ready: "open", starting: "closed", stopping: "closed", draining: "closed", failed: "wrong" };
const NO_POWER = "local"; // the controller that starts and stops nothing
// `undefinedToo`: also of a machine of ours whose file is gone; the daemon knows no such host otherwise.
const ACTIONS = [
  { id: "start", label: "Start", name: "play", said: "is told to start", when: (host) => !["ready", "starting"].includes(host.state) },
  {
    id: "stop",
    label: "Stop…",
    name: "stop",
    said: "is told to stop",
    when: (host) => host.controller !== NO_POWER && host.state !== "off",
    undefinedToo: true,
    ask: "It is stopped now, and takes no jobs until it is started or resumed. While jobs run there it is not stopped.",
  },
  { id: "drain", label: "Drain: no new jobs", name: "pause", said: "gets no new jobs", when: (host) => !host.draining },
  { id: "resume", label: "Resume", name: "retry", said: "gets jobs again", when: (host) => host.draining || host.state === "failed" },
  { id: "test", label: "Test the connection", name: "check", when: () => true },
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
      draw(await get(["hosts"], {}, { signal }));
    },
    LOOK_SECONDS,
    (error) => showError(place, error),
  );

  async function run(host, action) {
    if (action.id === "test") return test(host, place);
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

// It looks from a dispatcher, step by step, and may take its time.
async function test(host, place) {
  showError(place, null);
  toast(`${host.name} is being tested…`);
  try {
    const { ok, steps } = await post(["host", host.name, "test"]);
    const lines = steps.map((one) => h("li", { class: one.ok ? "" : "wrong" }, h("b", {}, one.step), ` ${one.ok ? "is well" : "failed"}`, one.text && h("span", { class: "sub" }, one.text)));
    infoDialog(ok ? `${host.name} answers as it should` : `${host.name} cannot run jobs now`, h("ol", { class: "steps" }, lines));
  } catch (error) {
    showError(place, error);
  }
}

function nothing() {
  return empty("No hosts are defined", "Jobs run on the machine of the dispatcher. A file in hosts/ of the configuration defines another one.");
}

function table(hosts, run) {
  const heads = ["Host", "State", "Jobs", "Idle", ""].map((label) => h("th", { scope: "col" }, label || h("span", { class: "unseen" }, "Actions")));
  return h("table", { class: "table cards" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, hosts.map((host) => row(host, run))));
}

function row(host, run) {
  const offered = ACTIONS.filter((action) => isSuperuser() && action.when(host) && (host.defined || action.undefinedToo));
  const actions = offered.map((action) => ({ ...action, run: () => run(host, action) }));
  const troubles = [host.trouble, host.alarm, host.next_try && `tried again ${until(host.next_try)}`];
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, host.name, h("span", { class: "sub" }, host.controller)),
    h("td", {}, statePill(host), host.since && h("span", { class: "sub" }, time(host.since, ago(host.since))), troubles.map((words) => words && h("span", { class: "sub wrong" }, words))),
    h("td", {}, jobsOf(host)),
    h("td", {}, idleOf(host)),
    h("td", { class: "acts" }, actions.length > 0 && menuButton(`Actions of ${host.name}`, () => actions)),
  );
}

function statePill(host) {
  return h("span", { class: `pill ${STATE_KINDS[host.state] ?? "off"}` }, host.state);
}

function jobsOf(host) {
  const words = [host.jobs && `${host.jobs} running`, host.waiting && `${host.waiting} waiting`].filter(Boolean);
  return words.length ? words.join(", ") : h("span", { class: "quiet" }, "none");
}

function idleOf(host) {
  if (!host.idle_since) return h("span", { class: "quiet" }, "–");
  const idle = time(host.idle_since, duration((Date.now() - new Date(host.idle_since)) / 1000));
  return [idle, host.idle_until && h("span", { class: "sub" }, time(host.idle_until, `stops ${until(host.idle_until)}`))];
}
