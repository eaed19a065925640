// The way in, with the facade's own users.

import { errorPlace, showError } from "./notices.js";
import { field, input } from "./dialogs.js";
import { h } from "./dom.js";
import { login } from "./session.js";

// Resolves when somebody is in.
export function loginPage(root, why) {
  document.title = "Log in · batchd";
  return new Promise((resolve) => {
    const name = input("name", "", { autocomplete: "username", required: true });
    const password = input("password", "", { type: "password", autocomplete: "current-password" });
    const place = errorPlace();
    const enter = h("button", { type: "submit", class: "button primary" }, "Log in");
    const form = h("form", { class: "form card login" }, title(), field("User name", name), field("Password", password), place, enter);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      enter.disabled = true;
      showError(place, null);
      try {
        await login(name.value, password.value);
        resolve();
      } catch (error) {
        showError(place, error);
        password.select();
      }
      enter.disabled = false;
    });
    root.replaceChildren(h("main", { class: "center" }, form));
    showError(place, why && { message: why });
    name.focus();
  });
}

const title = () => h("h1", {}, h("img", { src: "/web/icon.svg", alt: "", width: 28, height: 28 }), "batchd");
