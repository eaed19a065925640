// Looks again and again, not while the tab is hidden, and never twice at once.

export function poll(look, seconds, onError = () => {}) {
  const stop = new AbortController();
  let timer = null;
  let running = null;

  async function once() {
    clearTimeout(timer);
    try {
      await look(stop.signal);
      onError(null);
    } catch (error) {
      if (error.name === "AbortError" || stop.signal.aborted) return;
      onError(error);
    }
    running = null;
    if (!stop.signal.aborted && !document.hidden) timer = setTimeout(now, seconds * 1000);
  }

  async function now() {
    if (stop.signal.aborted) return;
    running ??= once();
    await running;
  }

  document.addEventListener("visibilitychange", () => document.hidden || now(), { signal: stop.signal });
  const first = now();
  return {
    first,
    // After a change: a look that began before it would show the old state.
    async again() {
      await running;
      await now();
    },
    stop: () => {
      stop.abort();
      clearTimeout(timer);
    },
  };
}
