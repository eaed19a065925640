// Questions in front of the page: <dialog> keeps the focus inside and closes with Escape.

import { button, h } from "./dom.js";
import { errorPlace, showError } from "./notices.js";

let count = 0;

function opened(title, ...content) {
  const id = `dialog-${(count += 1)}`;
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": id }, h("h2", { id }, title), ...content);
  const before = document.activeElement?.dataset?.key;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before && document.activeElement === document.body) {
      document.querySelector(`[data-key="${CSS.escape(before)}"]`)?.focus();
    }
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// `submit` gets the form; what it throws is shown in the dialog, which stays open. Resolves to whether it was done.
export function formDialog({ title, body, action, danger = false, submit }) {
  return new Promise((resolve) => {
    let done = false;
    const place = errorPlace();
    const ok = h("button", { type: "submit", class: `button ${danger ? "danger" : "primary"}` }, action);
    const back = button("Back", () => dialog.close());
    const form = h("form", { class: "form" }, body, place, h("div", { class: "row end" }, back, ok));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      ok.disabled = true;
      showError(place, null);
      try {
        await submit(form);
        done = true;
        dialog.close();
      } catch (error) {
        showError(place, error);
      }
      ok.disabled = false;
    });
    const dialog = opened(title, form);
    dialog.addEventListener("close", () => resolve(done));
    (form.querySelector("[autofocus]") ?? (danger ? back : ok)).focus();
  });
}

export function confirmDialog({ title, text, action, danger = true, submit }) {
  return formDialog({ title, body: h("p", {}, text), action, danger, submit });
}

export function infoDialog(title, ...content) {
  const dialog = opened(title, ...content, h("div", { class: "row end" }, button("Close", () => dialog.close(), { kind: "primary" })));
}

// One labelled control; `hint` stands below it.
export function field(label, control, { hint, wide = false } = {}) {
  const id = control.id || `field-${(count += 1)}`;
  control.id = id;
  const below = hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null;
  if (below) control.setAttribute("aria-describedby", below.id);
  return h("div", { class: `field ${wide ? "wide" : ""}` }, h("label", { for: id }, label), control, below);
}

export function choice(name, options, chosen, props = {}) {
  return h(
    "select",
    { name, ...props },
    options.map(([value, label]) => h("option", { value, selected: value === chosen }, label ?? value)),
  );
}

export const input = (name, value = "", props = {}) => h("input", { name, value, autocomplete: "off", ...props });
