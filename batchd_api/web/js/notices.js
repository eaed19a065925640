// What the page says by itself: a line at the edge for people who see, the same for screen readers.

import { h, iconButton } from "./dom.js";

const SHOWN_SECONDS = 6;

const region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
const spoken = h("div", { class: "unseen", role: "status", "aria-live": "polite" });

export function mountNotices(parent) {
  parent.append(region, spoken);
}

export function toast(...content) {
  const line = h("div", { class: "toast" }, h("span", {}, ...content));
  const close = () => line.remove();
  line.append(iconButton("close", "Dismiss", close));
  region.append(line);
  setTimeout(close, SHOWN_SECONDS * 1000);
}

// For screen readers alone: what others see happen.
export function announce(text) {
  spoken.textContent = "";
  requestAnimationFrame(() => {
    spoken.textContent = text;
  });
}

// An error where it happened; null takes it away.
export function showError(place, error) {
  if (!error) {
    place.replaceChildren();
    return;
  }
  place.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
}

export const errorPlace = () => h("div", { class: "error-place" });

export function empty(title, text, ...actions) {
  return h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, text), actions.length ? h("div", { class: "row" }, actions) : null);
}
