// The list of soft exceptions: a press removes one.
import { attempt, path, say, send } from "./api.js";
import { showTimes } from "./time.js";

for (const list of document.querySelectorAll(".excepted-list")) {
  showTimes(list);
  list.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-remove]");
    if (!button) return;
    const one = button.closest("li");
    const { id, camera } = one.dataset;
    button.disabled = true;
    if (await attempt(() => send(path("cameras", camera, "exceptions", id), {}, "DELETE"))) {
      one.remove();
      list.nextElementSibling.hidden = Boolean(list.children.length);
      say("The exception is removed: the same raises an alarm again. Its event stays normal.");
      (list.querySelector("[data-remove]") ?? document.getElementById("main")).focus();
    } else button.disabled = false;
  });
}
