// A list of any length: only the rows in sight are elements. Rows are of one height, and a grid for screen readers.

import { h } from "./dom.js";

const SPARE_ROWS = 8;

export class VirtualList {
  // `render(item)` makes a row with `data-key` = `keyOf(item)`; `onRange(first, last)` hears what is in sight.
  constructor({ label, head, rowHeight, keyOf, render, onRange }) {
    Object.assign(this, { rowHeight, keyOf, render, onRange });
    this.items = [];
    this.rows = new Map();
    this.active = null;
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.element = h("div", { class: "list", role: "grid", "aria-label": label }, head, this.body);
    this.element.addEventListener("scroll", () => this.paint(), { passive: true });
    this.element.addEventListener("focusin", (event) => this.#focused(event));
    this.observer = new ResizeObserver(() => this.paint());
    this.observer.observe(this.element);
  }

  destroy() {
    this.observer.disconnect();
  }

  setItems(items, { complete }) {
    this.items = items;
    this.element.setAttribute("aria-rowcount", complete ? items.length + 1 : -1);
    if (!items.some((item) => this.keyOf(item) === this.active)) {
      this.active = items.length ? this.keyOf(items[Math.min(this.activeIndex ?? 0, items.length - 1)]) : null;
    }
    this.paint();
  }

  // All again: what rows say of the time has grown old.
  refresh() {
    for (const row of this.rows.values()) row.item = null;
    this.paint();
  }

  setRowHeight(height) {
    this.rowHeight = height;
    this.paint();
  }

  get range() {
    const first = Math.floor(this.element.scrollTop / this.rowHeight);
    const last = Math.ceil((this.element.scrollTop + this.element.clientHeight) / this.rowHeight);
    return [Math.min(first, this.items.length), Math.min(last, this.items.length)];
  }

  paint() {
    const [first, last] = this.range;
    const from = Math.max(0, first - SPARE_ROWS);
    const wanted = this.items.slice(from, last + SPARE_ROWS);
    const focus = this.#focus();
    this.body.style.setProperty("height", `${this.items.length * this.rowHeight}px`);
    this.#drop(new Set(wanted.map(this.keyOf)), focus?.row);
    const elements = wanted.map((item, number) => this.#put(item, from + number));
    let cursor = this.body.firstElementChild;
    for (const element of elements) {
      if (element === cursor) cursor = cursor.nextElementSibling;
      else this.body.insertBefore(element, cursor); // reading order is the order in sight
    }
    if (focus && !this.body.contains(document.activeElement)) this.#refocus(focus);
    this.onRange(first, last);
  }

  #focus() {
    const focused = document.activeElement;
    if (!this.body.contains(focused)) return null;
    return { row: focused.closest("[role=row]").dataset.key, key: focused.dataset.key };
  }

  #refocus({ row, key }) {
    const element = this.rows.get(row)?.element;
    if (!element) this.focusIndex(this.activeIndex ?? 0);
    else (element.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? element).focus({ preventScroll: true });
  }

  // The row that is focused stays, out of sight, as long as its item is there.
  #drop(wanted, focused) {
    const stays = focused && this.items.some((item) => this.keyOf(item) === focused);
    for (const [key, { element }] of this.rows) {
      if (wanted.has(key) || (stays && key === focused)) continue;
      element.remove();
      this.rows.delete(key);
    }
  }

  #put(item, index) {
    const key = this.keyOf(item);
    let row = this.rows.get(key);
    if (row?.item !== item) {
      row?.element.remove();
      row = { element: this.render(item), item };
      this.rows.set(key, row);
      this.body.append(row.element);
    }
    row.element.style.setProperty("transform", `translateY(${index * this.rowHeight}px)`);
    row.element.style.setProperty("height", `${this.rowHeight}px`);
    row.element.setAttribute("aria-rowindex", index + 2);
    if (key === this.active) this.activeIndex = index;
    this.#tabs(row.element, key === this.active);
    return row.element;
  }

  #tabs(element, active) {
    const tabindex = active ? "0" : "-1";
    element.setAttribute("tabindex", tabindex);
    for (const inner of element.querySelectorAll("a, button")) inner.setAttribute("tabindex", tabindex);
  }

  #focused(event) {
    const row = event.target.closest("[role=row][data-key]");
    if (!row || row.dataset.key === this.active) return;
    this.active = row.dataset.key;
    for (const [key, { element }] of this.rows) this.#tabs(element, key === this.active);
    this.activeIndex = this.items.findIndex((item) => this.keyOf(item) === this.active);
  }

  focusIndex(index) {
    const bounded = Math.max(0, Math.min(index, this.items.length - 1));
    if (!this.items.length) return;
    this.active = this.keyOf(this.items[bounded]);
    this.activeIndex = bounded;
    this.#reveal(bounded);
    this.paint();
    this.rows.get(this.active)?.element.focus({ preventScroll: true });
  }

  #reveal(index) {
    const top = index * this.rowHeight;
    const box = this.element;
    const visible = box.clientHeight - this.body.offsetTop;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + this.rowHeight > box.scrollTop + visible) box.scrollTop = top + this.rowHeight - visible;
  }

  indexAt(clientY) {
    const offset = clientY - this.body.getBoundingClientRect().top;
    return Math.max(0, Math.min(Math.round(offset / this.rowHeight), this.items.length));
  }
}
