// The frame around every page: where one can go, who one is, and which page the address means.

import { button, fill, h, icon, link } from "./dom.js";
import { accountMenu } from "./account.js";
import { may, isSuperuser, needsLogin, session } from "./session.js";
import { empty, mountNotices } from "./notices.js";

const places = () => [
  ["queues", "Queues", "/#/"],
  ["hosts", "Hosts", "/#/hosts"],
  may("ViewSchedules") && ["schedules", "Schedules", "/#/schedules"],
  isSuperuser() && ["users", "Users", "/#/users"],
  ["monitor", "Monitor", "/monitor"],
];

export const prefectUrl = () => document.querySelector("meta[name=prefect-ui]").content || null;

export function frame(root) {
  const main = h("main", { id: "main", tabindex: "-1" });
  const nav = h("nav", { "aria-label": "Main" });
  const skip = h("a", { class: "skip", href: "#main", onclick: (event) => jump(event, main) }, "Skip to content");
  root.replaceChildren(skip, h("header", { class: "side" }, brand(), nav, foot()), main);
  mountNotices(root);
  return { main, mark: (place) => fill(nav, places().filter(Boolean).map((one) => entry(one, place))) };
}

function jump(event, main) {
  event.preventDefault();
  main.focus();
}

const brand = () => link("/#/", { class: "brand" }, h("img", { src: "/web/icon.svg", alt: "", width: 22, height: 22 }), "batchd");

function entry([name, label, href], place) {
  const current = name === place ? { "aria-current": "page" } : {};
  return link(href, { class: "nav", ...current }, icon(name), h("span", {}, label));
}

function foot() {
  const prefect = prefectUrl();
  const who = needsLogin() ? session.name : "no login needed";
  const account = button(who, () => accountMenu(account), { kind: "quiet account", name: "users", "aria-haspopup": "menu", key: "account" });
  return h(
    "div",
    { class: "foot" },
    prefect && h("a", { class: "nav", href: prefect, target: "_blank", rel: "noopener" }, icon("out"), h("span", {}, "Prefect")),
    account,
  );
}

// `routes`: [pattern, place in the navigation, page]; a page gets its element and what the pattern caught.
export function route(routes, shell) {
  let leave = () => {};
  const stop = new AbortController();

  function go() {
    leave();
    const address = location.pathname.startsWith("/monitor") ? "/monitor" : location.hash.slice(1) || "/";
    const [found, place, page] = routes.map(([pattern, ...rest]) => [pattern.exec(address), ...rest]).find(([match]) => match) ?? [];
    shell.mark(place);
    const root = h("div", { class: "page" });
    shell.main.replaceChildren(root);
    scrollTo(0, 0);
    if (!found) {
      document.title = "Not found · batchd";
      root.append(empty("There is nothing here", "The address does not name a page.", link("/#/", { class: "button" }, "All queues")));
      return;
    }
    leave = page(root, found.slice(1).map((part) => part && decodeURIComponent(part))) ?? (() => {});
  }

  const moved = () => {
    go();
    shell.main.focus({ preventScroll: true });
  };
  addEventListener("hashchange", moved, { signal: stop.signal });
  go();
  return () => {
    stop.abort();
    leave();
  };
}
