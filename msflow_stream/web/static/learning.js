// The learning of a camera's scene: asked for every two seconds, and shown beside the live frame.
import { attempt, get, path, root, send } from "./lib/api.js";
import { make } from "./lib/dom.js";
import { ago, Live, show, stateOf, widthFor } from "./lib/live.js";

const PHASES = ["learning", "fitting", "calibrating", "watching"], AGAIN = 2000, OLD = 3;
const part = (id) => document.getElementById(id);
const first = JSON.parse(part("data").textContent);
const large = part("large"), image = part("frame");
let values = first.values, camera = first.camera, shownAt = null;

/** 12 min, of seconds. */
function spanOf(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * 86400) return `${Number((seconds / 3600).toPrecision(2))} h`;
  return `${Number((seconds / 86400).toPrecision(2))} days`;
}
const share = (done, of) => (of ? Math.min(1, Math.max(0, done / of)) : null);
const percent = (value) => `${Math.floor(100 * value)} %`;

function headline() {
  const { phase, done, of, progress } = values, left = of ? of - done : null;
  const paused = progress?.stage === "paused";
  switch (phase) {
    case "learning": return left > 0 ? `Learning what is normal: ${spanOf(left)} to go` : "Learning what is normal";
    case "fitting": return paused ? "Fitting waits: the cameras need the processor" : "Fitting the scene to what was seen";
    case "calibrating": return left > 0 ? `Calibrating: ${spanOf(left)} to go` : "Calibrating";
    case "watching": return "It watches: what is unusual raises an alarm";
    case "failed": return "Learning has failed";
    default: return "Learning has not begun yet";
  }
}
function textOf(phase, at) {
  const { done, of, progress, learn, calibrate, rate } = values, doing = PHASES.indexOf(at) === PHASES.indexOf(phase);
  const after = PHASES.indexOf(at) > PHASES.indexOf(phase);
  if (doing && values.phase === "failed") return "failed";
  if (phase === "learning") {
    if (doing && of) return `${spanOf(done ?? 0)} of ${spanOf(of)} recorded`;
    return after ? (values.footage ? `${spanOf(values.footage.seconds)} recorded` : "done") : "";
  }
  if (phase === "fitting") {
    if (doing && progress?.stage === "reading") return "looking through what was recorded";
    if (doing) return progress?.text || (progress?.stage === "paused" ? "paused" : "begins soon");
    return after ? "done" : "to what was recorded; some minutes";
  }
  if (phase === "calibrating") {
    if (doing && of) return `${spanOf(done ?? 0)} of ${spanOf(of)} scored`;
    return after ? "done" : calibrate ? `on the ${spanOf(calibrate)} after that${rate ? `, for ${rate.replace(/^one/, "one false alarm")}` : ""}` : "";
  }
  return doing ? "events are raised, shown and told" : "";
}
function progressOf() {
  const { done, of } = values;
  return of ? share(done ?? 0, of) : null;
}

function update(now) {
  values = now;
  const at = values.at, place = PHASES.indexOf(at);
  part("away").hidden = values.watch !== "away";
  const title = part("now-name");
  if (title.textContent !== headline()) title.textContent = headline();
  for (const [number, item] of [...part("phases").children].entries()) {
    const { phase } = item.dataset, is = number === place, failed = is && values.phase === "failed", over = number < place || (is && phase === "watching");
    item.className = failed ? "is-failed" : over ? "is-done" : is && values.phase ? "is-now" : "";
    item.firstElementChild.textContent = failed ? "✕" : over ? "✓" : String(number + 1);
    item.toggleAttribute("aria-current", false);
    if (is) item.setAttribute("aria-current", "step");
    item.querySelector(".text").textContent = values.phase == null ? "" : textOf(phase, at);
    const bar = item.querySelector(".progress");
    bar.hidden = !is || over || failed || !values.phase;
    const value = progressOf();
    bar.classList.toggle("unknown", value == null);
    bar.firstElementChild.style.width = value == null ? "" : `${100 * value}%`;
    if (value == null) bar.removeAttribute("aria-valuenow"); else bar.setAttribute("aria-valuenow", String(Math.floor(100 * value)));
    if (value != null) bar.setAttribute("aria-valuetext", `${percent(value)}, ${textOf(phase, at)}`);
  }
  part("reason").hidden = !values.reason;
  part("reason").classList.toggle("bad", values.phase === "failed");
  part("reason").textContent = values.reason && `${values.reason[0].toUpperCase()}${values.reason.slice(1)}`;
  part("support").hidden = !values.support;
  part("support").textContent = values.support ?? "";
  part("watch").hidden = part("thresholds").hidden = values.phase !== "watching";
  if (part("again")) part("again").hidden = !values.can_go_back;
  seen();
}

// What it has seen.
const CAUSES = { camera: "the camera sent nothing", black: "the frames were black", frozen: "the frames stood still", disk: "the disk was full", stopped: "the watch did not run" };
function seen() {
  const found = values.coverage, { footage } = values;
  const untold = !found?.seconds && values.phase === "watching";
  document.querySelector(".charts").hidden = untold;
  part("seen").textContent = untold ? "What this scene learnt from was not noted at the time." : found?.seconds ? `${spanOf(found.seconds)} of footage${footage?.bytes ? `, ${sizeOf(footage.bytes)}` : ""}${found.moving == null ? "" : `; something moves in ${percent(found.moving)} of it`}.` : "Nothing yet. It fills while the camera is recorded.";
  bars("hours", found?.hours ?? Array(24).fill(0), (value, i) => `${i} to ${i + 1} o'clock`);
  bars("brightness", found?.brightness ?? Array(16).fill(0), (value, i) => `${Math.round((100 * i) / 16)} to ${Math.round((100 * (i + 1)) / 16)} % bright`);
  bars("motion", found?.motion ?? Array(9).fill(0), (value, i) => (i === 0 ? "nothing moves" : `step ${i} of 8 of movement`));
  part("missing-part").hidden = !found?.missing.length || !found.seconds;
  part("missing").replaceChildren(...(found?.missing ?? []).map((text) => make("li", {}, text[0].toUpperCase() + text.slice(1))));
  part("gaps-part").hidden = !footage?.gaps.length;
  if (footage?.gaps.length) {
    const causes = [...new Set(footage.gaps.map((gap) => CAUSES[gap.cause] ?? gap.cause))];
    part("gaps").textContent = `${footage.gaps.length} ${footage.gaps.length === 1 ? "gap" : "gaps"}, ${spanOf(footage.gaps_seconds)} together: ${causes.join("; ")}. They do not count.`;
  }
}
function sizeOf(bytes) { return bytes < 1e9 ? `${Math.max(1, Math.round(bytes / 1e6))} MB` : `${(bytes / 1e9).toPrecision(2)} GB`; }
function bars(id, given, name) {
  const most = Math.max(...given, 1e-9), box = part(id), total = given.reduce((a, b) => a + b, 0);
  const said = given.map((value, i) => [value, name(value, i)]).filter(([value]) => value > 0).sort((a, b) => b[0] - a[0]).slice(0, 4);
  box.setAttribute("aria-label", total ? `Most of it: ${said.map(([value, text]) => `${text}, ${spanOf(value)}`).join("; ")}` : "Nothing yet");
  if (box.children.length !== given.length) box.replaceChildren(...given.map(() => make("i", {})));
  given.forEach((value, i) => {
    const one = box.children[i];
    one.className = value > 0 ? "" : "none";
    one.style.height = `${value > 0 ? Math.max(4, (100 * value) / most) : 0}%`;
    one.title = `${name(value, i)}: ${spanOf(value)}`;
  });
}

// The camera, live.
const live = new Live({
  onFrame: async (_, facts, blob) => {
    shownAt = performance.now() / 1000 - Math.max(0, facts.age ?? 0);
    document.querySelector(".word.none").hidden = true;
    age();
    await show(image, blob);
  },
  onStatus: ({ cameras }) => {
    camera = cameras.find((one) => one.name === values.camera) ?? camera;
    state();
  },
  onLine: (mode) => { part("line").textContent = { live: "", polling: "", lost: "The console does not answer; trying again." }[mode]; },
});
function state() {
  if (camera.width && camera.height) { image.width = camera.width; image.height = camera.height; }
  const [icon, word] = stateOf({ ...camera, phase: null }), trouble = camera.state && camera.state !== "running";
  part("camera-line").hidden = !trouble;
  part("camera-line").textContent = trouble ? `${icon} The camera is ${word}${camera.reason ? `: ${camera.reason}` : ""}` : "";
}
function age() {
  const seconds = shownAt == null ? 0 : performance.now() / 1000 - shownAt, word = document.querySelector(".word.age");
  word.hidden = seconds < OLD;
  if (seconds >= OLD) word.textContent = ago(seconds);
}

async function ask() {
  try {
    if (!document.hidden) update(await get(path("cameras", values.camera, "learning.json")));
  } catch (error) {
    if (!/does not answer/.test(error.message)) part("line").textContent = error.message;
  }
  setTimeout(ask, AGAIN);
}
part("again")?.addEventListener("click", () => part("sure").showModal());
part("stay")?.addEventListener("click", () => part("sure").close());
part("leave")?.addEventListener("click", () => attempt(async () => {
  await send(path("cameras", values.camera, "learning"), {}, "DELETE");
  location.assign(`${root}/new#again`);
}));
update(values);
state();
const wanted = () => live.watch({ [values.camera]: widthFor(large.clientWidth) });
wanted();
new ResizeObserver(wanted).observe(large);
setInterval(age, 1000);
setTimeout(ask, AGAIN);
