// Elements without a framework: `h` makes them, `fill` replaces them and keeps the focus where it was.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...shown(children));
  return element;
}

export function svg(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...shown(children));
  return element;
}

function shown(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "vars") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
  else element.setAttribute(name, value === true ? "" : value);
}

// What is focused has the same `data-key` afterwards, if it is still there.
export function fill(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.closest("[data-key]")?.dataset.key;
  parent.replaceChildren(...shown(children));
  if (key) parent.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  return parent;
}

const TIMES_AGE_SECONDS = 20;

// Draws again where the data are others, or what is said of times has grown old: else a click or a selection
// would be lost now and then for nothing.
export function whenChanged(draw) {
  let last = null;
  return (...data) => {
    const now = JSON.stringify([Math.floor(Date.now() / 1000 / TIMES_AGE_SECONDS), ...data]);
    if (now === last) return;
    last = now;
    draw(...data);
  };
}

const ICONS = {
  queues: "M3 4h10M3 8h7M3 12h4",
  hosts: "M3 3h10v4H3zM3 9h10v4H3zM5.5 5h.01M5.5 11h.01",
  schedules: "M3 4h10v9H3zM3 7h10M6 2.5v3M10 2.5v3",
  users: "M8 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM3.5 13.5c.4-2.4 2.2-3.5 4.5-3.5s4.1 1.1 4.5 3.5",
  monitor: "M2.5 8.5h2.5l1.5-4.5 3 8 1.5-3.5h2.5",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  plus: "M8 3v10M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  grip: "M6 4h.01M10 4h.01M6 8h.01M10 8h.01M6 12h.01M10 12h.01",
  play: "M5 3.5l7.5 4.5-7.5 4.5z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  stop: "M4 4h8v8H4z",
  retry: "M12.5 8a4.5 4.5 0 1 1-1.4-3.250M12.5 2.5v3h-3",
  trash: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.5 9h6l.5-9",
  edit: "M3 13l.6-3L10.5 3l2.5 2.5-7 7z",
  up: "M8 13V3.5M4 7l4-4 4 4",
  down: "M8 3v9.5M4 9l4 4 4-4",
  top: "M3 2.5h10M8 13.5V6M4.5 9L8 5.5 11.5 9",
  bottom: "M3 13.5h10M8 2.5V10M4.5 7L8 10.5 11.5 7",
  move: "M2.5 8h10M9 4l4 4-4 4",
  out: "M9 3h4v4M13 3L7.5 8.5M11 9.5V13H3V5h3.5",
  download: "M8 2.5v7.5M4.5 7L8 10.5 11.5 7M3 13.5h10",
  copy: "M5.5 5.5h7v8h-7zM3.5 10.5v-8h7",
  wrap: "M2.5 4h11M2.5 8h8.5a2 2 0 0 1 0 4H8M9.5 10.5L8 12l1.5 1.5M2.5 12H5",
  key: "M9.5 6.5a3 3 0 1 1-3-3 3 3 0 0 1 3 3zM8.7 8.7L13 13M11 11l1.5-1.5",
  back: "M9.5 3.5L5 8l4.5 4.5",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.5V8l2.5 1.5",
  help: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.3 6.3a1.8 1.8 0 1 1 2.5 1.7c-.6.3-.8.6-.8 1.2M8 11.2h.01",
  check: "M3 8.5l3.5 3.5L13 4.5",
  flag: "M4 14V2.5h8l-2 3 2 3H4",
};

export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

export function button(label, run, { kind = "", name, key, ...rest } = {}) {
  const props = { type: "button", class: `button ${kind}`, onclick: run, "data-key": key ?? label, ...rest };
  return h("button", props, name && icon(name), label);
}

export function iconButton(name, label, run, rest = {}) {
  const props = { type: "button", class: "icon-button", title: label, "aria-label": label, onclick: run };
  return h("button", { ...props, "data-key": label, ...rest }, icon(name));
}

export const link = (href, props, ...children) => h("a", { href, "data-key": href, ...props }, ...children);
