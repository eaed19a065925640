// The output of a job: stdout and stderr apart, following their ends, with any number of lines.

import { path, send } from "./api.js";
import { h, iconButton } from "./dom.js";
import { plural } from "./format.js";
import { toast } from "./notices.js";

const CHUNK_LINES = 200;
const KEPT_CHUNKS = 1000; // 200 000 lines; what is before is in the download
const BOTTOM_PIXELS = 24;

export function outputView(jobId) {
  const panes = { stdout: new Pane(jobId, "stdout"), stderr: new Pane(jobId, "stderr") };
  const element = h("section", { class: "output", "aria-label": "Output" }, Object.values(panes).map((pane) => pane.element));
  panes.stderr.element.hidden = true;
  return {
    element,
    add({ stream, attempt, text }) {
      const pane = panes[stream];
      if (!pane) return; // of a version that knows more than these two
      pane.element.hidden = false;
      pane.add(attempt, text);
    },
    note(job) {
      for (const pane of Object.values(panes)) pane.note(emptyWords(job));
    },
  };
}

function emptyWords(job) {
  if (job.status === "Processing") return "It has written nothing yet.";
  return job.exit_code === null ? "Its output stands here as soon as it runs." : "It has written nothing.";
}

// Lines stand in chunks: the browser lays out only those in sight, and text can be searched and selected.
class Pane {
  constructor(jobId, stream) {
    Object.assign(this, { jobId, stream, attempt: null, pending: [], lines: 0, follows: true });
    this.count = h("span", { class: "quiet" });
    this.text = h("div", { class: "lines", role: "log", "aria-live": "off", "aria-label": stream, tabindex: 0 });
    this.empty = h("p", { class: "quiet no-output" });
    this.followBox = h("input", { type: "checkbox", checked: true, onchange: () => this.#follow(this.followBox.checked) });
    this.element = h("div", { class: `pane ${stream}` }, this.#bar(), this.empty, this.text);
    this.text.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  #bar() {
    return h(
      "div",
      { class: "bar" },
      h("h2", {}, this.stream),
      this.count,
      h("label", { class: "check" }, this.followBox, "Follow"),
      iconButton("wrap", `Wrap lines of ${this.stream}`, () => this.text.classList.toggle("wrapped")),
      iconButton("download", `Download ${this.stream}`, () => this.#download()),
    );
  }

  note(words) {
    this.empty.textContent = words;
  }

  add(attempt, text) {
    if (this.attempt !== null && attempt !== this.attempt) this.pending.push({ attempt });
    this.attempt = attempt;
    this.pending.push({ text });
    this.frame ??= requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.frame = null;
    this.empty.hidden = true;
    for (const { attempt, text } of merged(this.pending)) {
      if (attempt) this.#newAttempt(attempt);
      else this.#append(text);
    }
    this.pending = [];
    this.count.textContent = plural(this.lines, "line");
    if (this.follows) this.#toEnd();
  }

  #newAttempt(attempt) {
    this.text.append(h("p", { class: "attempt" }, `execution ${attempt}`));
    this.chunk = null;
  }

  #append(text) {
    const lines = text.split("\n");
    for (let begin = 0; begin < lines.length; ) {
      if (!this.chunk || this.chunkLines >= CHUNK_LINES) this.#newChunk();
      const end = Math.min(lines.length, begin + CHUNK_LINES - this.chunkLines);
      const isLast = end === lines.length;
      const part = lines.slice(begin, end).join("\n") + (isLast ? "" : "\n");
      const count = end - begin - (isLast ? 1 : 0);
      this.chunk.appendData(part);
      this.chunkLines += count;
      this.lines += count;
      begin = end;
    }
  }

  #newChunk() {
    this.chunk = document.createTextNode("");
    this.chunkLines = 0;
    this.text.append(h("pre", { class: "chunk" }, this.chunk));
    if (this.text.childElementCount <= KEPT_CHUNKS) return;
    this.text.firstElementChild.remove();
    this.element.classList.add("cut");
  }

  #follow(wanted) {
    this.follows = wanted;
    if (wanted) this.#toEnd();
  }

  #toEnd() {
    this.text.scrollTop = this.text.scrollHeight;
    this.at = this.text.scrollTop;
  }

  // Who scrolls up reads; who comes back to the end follows again.
  #scrolled() {
    const distance = this.text.scrollHeight - this.text.clientHeight - this.text.scrollTop;
    if (this.text.scrollTop < (this.at ?? 0) - 1 && distance > BOTTOM_PIXELS) this.follows = false;
    else if (distance <= BOTTOM_PIXELS) this.follows = true;
    this.at = this.text.scrollTop;
    this.followBox.checked = this.follows;
  }

  async #download() {
    try {
      const answer = await send("GET", path(["job", String(this.jobId), "output"], { stream: this.stream }));
      const url = URL.createObjectURL(await answer.blob());
      h("a", { href: url, download: `job-${this.jobId}.${this.stream}.txt` }).click();
      URL.revokeObjectURL(url);
    } catch (error) {
      toast(error.message);
    }
  }
}

function merged(pending) {
  const found = [];
  for (const one of pending) {
    const last = found.at(-1);
    if (one.text !== undefined && last?.text) last.text.push(one.text);
    else found.push(one.text === undefined ? one : { text: [one.text] });
  }
  return found.map((one) => (one.text ? { text: one.text.join("") } : one));
}
