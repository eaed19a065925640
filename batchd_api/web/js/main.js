// Where the page begins: who is there, then the page that the address names.

import { whenRefused } from "./api.js";
import { applyTheme } from "./account.js";
import { button, h } from "./dom.js";
import { enqueuePage } from "./enqueue.js";
import { hostsPage } from "./hosts.js";
import { jobPage } from "./job.js";
import { loginPage } from "./login.js";
import { monitorPage } from "./monitor.js";
import { empty } from "./notices.js";
import { queuePage } from "./queue.js";
import { queuesPage } from "./queues.js";
import { schedulesPage } from "./schedules.js";
import { canLogIn, canLogOut, logout, resume } from "./session.js";
import { frame, route } from "./shell.js";
import { usersPage } from "./users.js";

const ROUTES = [
  [/^\/$/, "queues", queuesPage],
  [/^\/queue\/([^/]+)(?:\/(\w+))?$/, "queues", queuePage],
  [/^\/job\/(\d+)$/, "queues", jobPage],
  [/^\/enqueue(?:\/([^/]+))?$/, "queues", enqueuePage],
  [/^\/hosts$/, "hosts", hostsPage],
  [/^\/schedules$/, "schedules", schedulesPage],
  [/^\/users(?:\/([^/]+))?$/, "users", usersPage],
  [/^\/monitor$/, "monitor", monitorPage],
];

const UNKNOWN = "People come here through a proxy that says who they are. It has not, or nobody of that name is a user of batchd.";

const root = document.getElementById("app");

function sayInstead(title, text) {
  const again = button("Try again", () => start(), { kind: "primary" });
  root.replaceChildren(h("main", { class: "center" }, empty(title, text, again)));
}

async function start(why) {
  try {
    if (!(await resume())) {
      if (!canLogIn()) return sayInstead("batchd does not know you", UNKNOWN);
      await loginPage(root, why);
    }
  } catch (error) {
    return sayInstead("batchd cannot be reached", error.message);
  }
  const leave = route(ROUTES, frame(root));
  whenRefused((sentence) => {
    if (!canLogOut()) return;
    leave();
    logout();
    start(sentence);
  });
}

applyTheme();
start();
