// People: users are added, changed and removed in a dialog; sessions are ended.
import { attempt, path, root, send } from "./lib/api.js";

const byId = (id) => document.getElementById(id);
const dialog = byId("user");
const ticks = [...dialog.querySelectorAll("input[name=camera]")];
let changed = null; // the user that the dialog is about; null: a new one
let sure = false; // whether Remove was pressed once

function open(user) {
  changed = user;
  byId("user-title").textContent = user ? `Change ${user.name}` : "Add a user";
  byId("name-field").hidden = user !== null;
  byId("name").required = user === null;
  byId("name").value = "";
  byId("role").value = user?.role ?? (document.querySelector("[data-change]") ? "viewer" : "admin");
  const all = !user || user.cameras === null;
  byId("all-cameras").checked = all;
  byId("cameras").hidden = all;
  for (const tick of ticks) tick.checked = user?.cameras?.includes(tick.value) ?? false;
  byId("password").value = "";
  byId("password").required = user === null;
  byId("password-means").textContent = user
    ? "Left empty, it stays as it is. A new password or role signs them out everywhere."
    : "At least 10 characters.";
  byId("save").textContent = user ? "Save" : "Add";
  byId("more").hidden = user === null;
  byId("user-said").hidden = true;
  unsure();
  dialog.showModal();
}

function unsure() {
  sure = false;
  byId("remove").textContent = "Remove";
}

/** The cameras that are ticked, and those of the user that the watch does not have now. */
function cameras() {
  if (byId("all-cameras").checked) return null;
  const known = new Set(ticks.map((tick) => tick.value));
  const others = (changed?.cameras ?? []).filter((name) => !known.has(name));
  return [...ticks.filter((tick) => tick.checked).map((tick) => tick.value), ...others];
}

/** Calls the server and shows the page as it is then; what goes wrong is said in the dialog. */
async function change(work) {
  const buttons = dialog.querySelectorAll("button");
  for (const one of buttons) one.disabled = true;
  try {
    await work();
    location.assign(`${root}/people`);
  } catch (error) {
    byId("user-said").textContent = `${error.message}.`;
    byId("user-said").hidden = false;
    for (const one of buttons) one.disabled = false;
  }
}

function save() {
  const values = { role: byId("role").value, cameras: cameras() };
  const password = byId("password").value;
  if (changed === null) {
    return send(path("people", "users"), { ...values, name: byId("name").value, password });
  }
  return send(path("people", "users", changed.name), password ? { ...values, password } : values, "PUT");
}

byId("add").addEventListener("click", () => open(null));
for (const one of document.querySelectorAll("[data-change]")) {
  one.addEventListener("click", () => open(JSON.parse(one.dataset.change)));
}
byId("all-cameras").addEventListener("change", (event) => { byId("cameras").hidden = event.target.checked; });
byId("cancel").addEventListener("click", () => dialog.close());
dialog.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  change(save);
});
byId("sign-out").addEventListener("click", () =>
  change(() => send(path("people", "users", changed.name, "sessions"), {}, "DELETE")));
byId("remove").addEventListener("click", () => {
  if (sure) {
    change(() => send(path("people", "users", changed.name), {}, "DELETE"));
    return;
  }
  sure = true;
  byId("remove").textContent = `Press again to remove ${changed.name}`;
});
byId("remove").addEventListener("blur", unsure);
for (const one of document.querySelectorAll("[data-end]")) {
  one.addEventListener("click", () => attempt(async () => {
    await send(path("people", "sessions", one.dataset.end), {}, "DELETE");
    location.reload();
  }));
}
