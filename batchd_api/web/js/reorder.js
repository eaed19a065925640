// Another place in the queue: by the grip with a finger or a mouse, by keys with Alt.

import { h } from "./dom.js";

const EDGE_PIXELS = 40;
const STEP_PIXELS = 12;

// `drop(from, to)`: the job of row `from` shall stand before what is row `to` now.
export function dragging(list, isMovable, drop) {
  let drag = null;
  const line = h("div", { class: "drop-line", hidden: true });
  list.body.append(line);

  list.element.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest(".grip");
    const row = event.target.closest("[role=row][data-key]");
    if (!grip || !row || event.button !== 0) return;
    const from = list.items.findIndex((item) => list.keyOf(item) === row.dataset.key);
    if (!isMovable(list.items[from])) return;
    event.preventDefault();
    list.element.setPointerCapture(event.pointerId);
    drag = { key: row.dataset.key, from, y: event.clientY, to: from, timer: requestAnimationFrame(scroll) };
    row.classList.add("dragged");
    document.addEventListener("keydown", escape, true);
  });
  list.element.addEventListener("pointermove", (event) => drag && aim(event.clientY));
  list.element.addEventListener("pointerup", () => end(true));
  list.element.addEventListener("pointercancel", () => end(false));

  function aim(y) {
    drag.y = y;
    drag.to = list.indexAt(y);
    line.hidden = false;
    line.style.setProperty("transform", `translateY(${drag.to * list.rowHeight}px)`);
  }

  function scroll() {
    if (!drag) return;
    const box = list.element.getBoundingClientRect();
    const before = list.element.scrollTop;
    if (drag.y < box.top + EDGE_PIXELS) list.element.scrollTop -= STEP_PIXELS;
    else if (drag.y > box.bottom - EDGE_PIXELS) list.element.scrollTop += STEP_PIXELS;
    if (list.element.scrollTop !== before) aim(drag.y);
    drag.timer = requestAnimationFrame(scroll);
  }

  function escape(event) {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    end(false);
  }

  function end(dropped) {
    if (!drag) return;
    const { key, to, timer } = drag;
    cancelAnimationFrame(timer);
    drag = null;
    line.hidden = true;
    list.rows.get(key)?.element.classList.remove("dragged");
    document.removeEventListener("keydown", escape, true);
    const from = list.items.findIndex((item) => list.keyOf(item) === key); // the list may have moved meanwhile
    if (dropped && from >= 0 && to !== from && to !== from + 1) drop(from, to);
  }

  return { isActive: () => drag !== null };
}

// What the facade is asked: beside which job that has a place. Others between are stepped over.
export function beside(jobs, from, to, hasPlace) {
  const next = jobs.slice(to).find((job) => hasPlace(job) && job !== jobs[from]);
  if (next) return { before: next.id };
  const previous = jobs.slice(0, to).reverse().find((job) => hasPlace(job) && job !== jobs[from]);
  return previous ? { after: previous.id } : null;
}
