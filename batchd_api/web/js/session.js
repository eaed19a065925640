// Who uses this page, and what they may do. The login is kept as long as the tab lives.

import { ApiError, authenticateWith, get, send } from "./api.js";

const KEY = "batchd-login";
const ANY = null;

export const session = { name: null, methods: [], grants: [] };

// True when somebody is logged in, or nobody has to be.
export async function resume() {
  session.methods = await (await send("OPTIONS", "/")).json();
  const kept = sessionStorage.getItem(KEY);
  const isProxied = session.methods.includes("header");
  if (!kept && needsLogin() && !isProxied) return false;
  authenticateWith(kept, { cookies: false });
  try {
    await askWho();
    return true;
  } catch (error) {
    if (isProxied && !error.isOurs) return resumeBehindProxy(kept);
    if (error.status === 401) return false;
    throw error;
  }
}

async function resumeBehindProxy(kept) {
  authenticateWith(kept, { cookies: true });
  try {
    await askWho();
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return false;
    throw error;
  }
}

async function askWho() {
  const { name, permissions } = await get(["whoami"]);
  session.name = name;
  session.grants = permissions;
}

export async function login(name, password) {
  const header = `Basic ${base64(`${name}:${password}`)}`;
  authenticateWith(header, { cookies: false });
  await askWho();
  sessionStorage.setItem(KEY, header);
}

export function logout() {
  sessionStorage.removeItem(KEY);
  authenticateWith(null, { cookies: false });
  session.name = null;
  session.grants = [];
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

export const needsLogin = () => session.methods.length > 0;
export const canLogIn = () => session.methods.includes("basic");
export const canLogOut = () => sessionStorage.getItem(KEY) !== null;

export function isSuperuser() {
  return session.grants.some((grant) => grant.permission === "SuperUser");
}

// Without a queue: only what is not tied to one counts.
export function may(right, queue = ANY) {
  return session.grants.some(
    (grant) =>
      grant.permission === "SuperUser" ||
      (grant.permission === right && (grant.queue_name === null || grant.queue_name === queue)),
  );
}
