// A menu at a button: arrows move, Enter chooses, Escape goes back to the button.

import { h, icon, iconButton } from "./dom.js";

const EDGE = 8;

// `items` is asked when the menu opens: null and false are left out.
export function menuButton(label, items, rest = {}) {
  const opener = iconButton("more", label, () => openMenu(opener, items()), { "aria-haspopup": "menu", ...rest });
  return opener;
}

// `back` gets the focus when the menu is left without a choice.
export function openMenu(anchor, items, back = anchor) {
  const entries = items.filter(Boolean).map((item) => entry(item, () => close(true)));
  const menu = h("div", { class: "menu", role: "menu", popover: "auto", "aria-label": anchor.ariaLabel ?? "Actions" }, entries);
  const key = back.dataset.key;

  function close(refocus) {
    menu.remove();
    if (refocus) (back.isConnected ? back : document.querySelector(`[data-key="${CSS.escape(key)}"]`))?.focus();
  }

  menu.addEventListener("keydown", (event) => move(event, entries, close));
  menu.addEventListener("toggle", (event) => event.newState === "closed" && menu.isConnected && close(false));
  document.body.append(menu);
  menu.showPopover();
  place(menu, anchor.getBoundingClientRect());
  entries[0]?.focus();
}

function entry(item, close) {
  const run = () => {
    close();
    item.run();
  };
  const props = { type: "button", role: "menuitem", tabindex: "-1", class: item.danger ? "danger" : "", onclick: run };
  const mark = item.name ? icon(item.name) : h("span", { class: "icon" });
  return h("button", props, mark, h("span", {}, item.label), item.hint && h("kbd", {}, item.hint));
}

function move(event, entries, close) {
  const now = entries.indexOf(document.activeElement);
  const steps = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: entries.length - 1 };
  if (event.key in steps) {
    event.preventDefault();
    entries.at(steps[event.key] % entries.length).focus();
  } else if (event.key === "Escape" || event.key === "Tab") {
    event.preventDefault();
    close(true);
  }
}

function place(menu, at) {
  const { width, height } = menu.getBoundingClientRect();
  const left = Math.max(EDGE, Math.min(at.right - width, innerWidth - width - EDGE));
  const below = at.bottom + 4 + height <= innerHeight - EDGE;
  menu.style.setProperty("left", `${left}px`);
  menu.style.setProperty("top", `${below ? at.bottom + 4 : Math.max(EDGE, at.top - 4 - height)}px`);
}
