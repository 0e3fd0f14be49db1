// A scene: each change is confirmed first, and the page follows the fit of a candidate.
import { attempt, get, path, say, send } from "./lib/api.js";
import { showTimes } from "./lib/time.js";

const LOOK_EVERY = 5000; // ms
const byId = (id) => document.getElementById(id);
const scene = byId("scene");
let run = null;

showTimes(document);
if (scene) {
  for (const one of document.querySelectorAll("[data-do]")) one.addEventListener("click", () => {
    const values = JSON.parse(one.dataset.values ?? "{}");
    ask(one, () => send(path("scenes", scene.dataset.name, one.dataset.do), values));
  });
  for (const one of document.querySelectorAll("[data-forget]")) one.addEventListener("click", () => {
    ask(one, () => send(path("scenes", scene.dataset.name, "taught", one.dataset.forget), {}, "DELETE"));
  });
  byId("confirm-yes").addEventListener("click", confirmed);
  byId("confirm-no").addEventListener("click", () => byId("confirm").close());
  setInterval(look, LOOK_EVERY);
}

/** Says in a dialog what a button means; only then it is done. */
function ask(button, work) {
  run = work;
  byId("confirm-title").textContent = button.dataset.title;
  byId("confirm-text").textContent = button.dataset.confirm;
  byId("confirm-yes").textContent = button.textContent;
  byId("confirm").showModal();
}

async function confirmed() {
  byId("confirm-yes").disabled = true;
  const done = await attempt(run);
  byId("confirm-yes").disabled = false;
  byId("confirm").close();
  if (done) location.reload();
}

/** Shows how far the fit is; where another version is there by now, the page is made anew. */
async function look() {
  if (document.hidden) return;
  const state = await get(path("scenes", scene.dataset.name, "state")).catch(() => null);
  if (!state) return;
  if (state.key !== scene.dataset.key && !byId("confirm").open) {
    scene.dataset.key = state.key;
    say("This scene has changed.", { text: "Show it", run: () => location.reload() });
  }
  byId("progress").hidden = !state.progress;
  if (!state.progress) return;
  byId("progress-text").textContent = state.progress.text;
  byId("progress-text").className = state.progress.failed ? "bad" : "";
  const bar = byId("progress-bar");
  bar.hidden = state.progress.share == null;
  if (state.progress.share != null) bar.value = state.progress.share;
}
