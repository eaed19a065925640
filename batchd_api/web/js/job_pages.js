// The jobs of a queue as far as somebody has looked, page by page; what is known already is not sent again.

import { ApiError, getMarked, path } from "./api.js";

const FIRST_PAGE = 100;
const LATER_PAGES = 500;

export class JobPages {
  constructor(queue, query) {
    this.queue = queue;
    this.query = query;
    this.pages = [];
    this.complete = false;
    this.#flatten();
  }

  // Those with rows from `first` to `last`, and the next one when the end is near.
  async look(first, last, signal) {
    const wanted = this.#pagesOf(first, last);
    try {
      await this.#read(wanted, signal);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 400) throw error;
      await this.#read([0, ...wanted.map((_, number) => number + 1)], signal); // the page before has changed its end
    }
    this.#flatten();
  }

  async more(signal) {
    if (this.complete || !this.pages.length) return;
    await this.#read([this.pages.length], signal);
    this.#flatten();
  }

  #pagesOf(first, last) {
    let begin = 0;
    const found = [];
    this.pages.forEach((page, number) => {
      const end = begin + page.marked.data.length;
      if (begin <= last && end >= first) found.push(number);
      begin = end;
    });
    return found.length ? found : [0];
  }

  async #read(numbers, signal) {
    for (const number of numbers) {
      if (number > 0 && !this.pages[number - 1]?.marked.data.length) break;
      await this.#readOne(number, signal);
    }
  }

  async #readOne(number, signal) {
    const after = number ? this.pages[number - 1].marked.data.at(-1).id : null;
    const limit = number ? LATER_PAGES : FIRST_PAGE;
    const known = this.pages[number]?.after === after ? this.pages[number].marked : null;
    const url = path(["queue", this.queue, "jobs"], { ...this.query, limit, after, tail: 0 });
    const marked = await getMarked(url, known, { signal });
    this.pages[number] = { after, marked };
    const isLast = marked.data.length < limit;
    if (isLast) this.pages.length = number + 1;
    if (isLast || number === this.pages.length - 1) this.complete = isLast;
  }

  // A job that changes its page while they are read is in both for a moment.
  #flatten() {
    const seen = new Map();
    for (const page of this.pages) for (const job of page.marked.data) if (!seen.has(job.id)) seen.set(job.id, job);
    this.jobs = [...seen.values()];
  }

  // Shown before the facade has answered; the next look says how it is.
  moveHere(from, to) {
    const [job] = this.jobs.splice(from, 1);
    this.jobs.splice(to > from ? to - 1 : to, 0, job);
  }
}
