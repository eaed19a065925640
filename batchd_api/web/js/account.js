// The menu behind one's own name: password, look, keys, leaving.

import { put } from "./api.js";
import { field, formDialog, infoDialog, input } from "./dialogs.js";
import { h } from "./dom.js";
import { openMenu } from "./menus.js";
import { toast } from "./notices.js";
import { canLogOut, login, logout, session } from "./session.js";

const THEME = "batchd-theme";
const KEYS = [
  ["↑ ↓", "from job to job"],
  ["Enter", "open the job"],
  ["Space or .", "its actions"],
  ["Alt + ↑ ↓", "move it in the queue"],
  ["Alt + Home, End", "to the first, the last place"],
  ["Delete", "delete it, after a question"],
  ["Escape", "close what is open, let go of what is dragged"],
];

export function applyTheme(theme = localStorage.getItem(THEME) ?? "auto") {
  document.documentElement.dataset.theme = theme;
}

function choose(theme) {
  localStorage.setItem(THEME, theme);
  applyTheme(theme);
}

export function accountMenu(anchor) {
  const now = document.documentElement.dataset.theme;
  const looks = [["auto", "Look: as the system"], ["light", "Look: light"], ["dark", "Look: dark"]];
  openMenu(anchor, [
    ...looks.map(([theme, label]) => ({ label, name: theme === now ? "check" : null, run: () => choose(theme) })),
    { label: "Keys", name: "help", run: showKeys },
    canLogOut() && { label: "Change password…", name: "key", run: changePassword },
    canLogOut() && { label: "Log out", name: "out", run: leave },
  ]);
}

function showKeys() {
  const rows = KEYS.map(([keys, what]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what)]);
  infoDialog("Keys in a list of jobs", h("dl", { class: "facts" }, rows));
}

function leave() {
  logout();
  location.reload();
}

async function changePassword() {
  const first = input("password", "", { type: "password", required: true, autocomplete: "new-password", autofocus: true });
  const again = input("again", "", { type: "password", required: true, autocomplete: "new-password" });
  const submit = async () => {
    if (first.value !== again.value) throw new Error("The two passwords are not the same.");
    await put(["user", session.name], { password: first.value });
    await login(session.name, first.value);
  };
  const body = [field("New password", first), field("The same again", again)];
  if (await formDialog({ title: "Change your password", body, action: "Change", submit })) toast("Your password is changed.");
}
