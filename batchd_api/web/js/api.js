// Speaks HTTP with the facade that served this page, and with nobody else.

export class ApiError extends Error {
  // `isOurs`: batchd itself asks for a login, not a proxy in front of it.
  constructor(status, sentence, { isOurs = false } = {}) {
    super(sentence);
    Object.assign(this, { status, isOurs });
  }
}

const UNREACHABLE = "batchd does not answer. Is it running? This page tries again by itself.";

let authorization = null;
let credentials = "same-origin"; // for the first question, which needs no login
let onRefused = () => {};

// `cookies`: a proxy in front knows its people by one, or by what the browser itself has asked them. Only where that
// is so: else the browser would ask for a login in a window of its own.
export function authenticateWith(header, { cookies }) {
  authorization = header;
  credentials = cookies ? "same-origin" : "omit";
}

export function whenRefused(listener) {
  onRefused = listener;
}

export function path(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const tail = given.length ? `?${new URLSearchParams(given)}` : "";
  return `/${parts.map(encodeURIComponent).join("/")}${tail}`;
}

export async function send(method, url, { body, headers = {}, signal } = {}) {
  const all = { ...headers };
  if (authorization) all.Authorization = authorization;
  if (body !== undefined) all["Content-Type"] = "application/json";
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const answer = await reach(url, { method, headers: all, body: payload, signal, credentials });
  if (answer.ok || answer.status === 304) return answer;
  const sentence = (await answer.text()).trim() || `batchd answered ${answer.status}.`;
  if (answer.status === 401) onRefused(sentence);
  throw new ApiError(answer.status, sentence, { isOurs: answer.headers.get("WWW-Authenticate")?.includes('realm="batchd"') });
}

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, UNREACHABLE);
  }
}

async function json(method, parts, { query, ...options } = {}) {
  return (await send(method, path(parts, query), options)).json();
}

export const get = (parts, query, options) => json("GET", parts, { query, ...options });
export const post = (parts, body = {}, query = {}) => json("POST", parts, { body, query });
export const put = (parts, body) => json("PUT", parts, { body });
export const remove = (parts, query = {}) => json("DELETE", parts, { query });

// Null where the facade is of a version that does not have this path, or has it for others only.
export async function getIfThere(parts, query, options) {
  try {
    return await get(parts, query, options);
  } catch (error) {
    if (error instanceof ApiError && [403, 404, 405].includes(error.status)) return null;
    throw error;
  }
}

// A list with its ETag; the same object comes back where nothing has changed.
export async function getMarked(url, known, options) {
  const headers = known?.etag ? { "If-None-Match": known.etag } : {};
  const answer = await send("GET", url, { headers, ...options });
  if (answer.status === 304) return known;
  return { etag: answer.headers.get("etag"), data: await answer.json() };
}

// Server-sent events with a login, which EventSource cannot send: from `lastId` on, until the stream ends.
export async function* events(parts, lastId, signal) {
  const headers = { Accept: "text/event-stream" };
  if (lastId) headers["Last-Event-ID"] = lastId;
  const answer = await send("GET", path(parts), { headers, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

function parsed(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(": ");
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
  }
  return fields.event ? { kind: fields.event, id: fields.id, data: JSON.parse(fields.data) } : null;
}
