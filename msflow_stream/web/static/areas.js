// The areas of a camera: drawn on its frame, tried on the last alarms, and saved.
import { attempt, path, say, send } from "./lib/api.js";
import { grouped, isDrawing, load, open, replace, show } from "./lib/board.js";
import { make } from "./lib/dom.js";
import { moment } from "./lib/time.js";

const TRY_AFTER = 600; // milliseconds without a change
const part = (id) => document.getElementById(id);
const data = JSON.parse(part("data").textContent);
const image = part("frame");
let saved = null, hash = data.hash, timer = 0, asking = null, fits = true;

const isChanged = () => saved != null && JSON.stringify(grouped()) !== saved;
function shown() {
  part("reset").disabled = !isChanged() || isDrawing();
  part("save").disabled = !isChanged() || isDrawing() || !fits;
}

// What it would have meant, and saving it.
function tryLater() {
  clearTimeout(timer);
  asking?.abort();
  timer = setTimeout(tryNow, TRY_AFTER);
}
async function tryNow() {
  fits = true;
  part("wrong").hidden = true;
  part("alarms").replaceChildren();
  part("notes").replaceChildren();
  if (!isChanged()) { part("said").textContent = "Nothing is changed."; return show(); }
  part("said").textContent = "Trying it on the last alarms …";
  const mine = asking = new AbortController();
  try {
    const found = await send(path("cameras", data.camera, "areas", "alarms"), { areas: grouped() });
    if (!mine.signal.aborted) tell(found);
  } catch (error) {
    if (mine.signal.aborted) return;
    fits = false;
    part("said").textContent = "This cannot be saved.";
    part("wrong").textContent = sentence(error.message);
    part("wrong").hidden = false;
  }
  show();
}
function sentence(text) { return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`; }
function tell(found) {
  part("said").textContent = found.said;
  part("notes").replaceChildren(...found.notes.map((text) => make("li", {}, text)));
  const groups = [["goes", "Would not have been raised"], ["unknown", "Cannot be told"]];
  part("alarms").replaceChildren(...groups.flatMap(([verdict, title]) => {
    const these = found.alarms.filter((one) => one.verdict === verdict);
    return these.length ? [make("div", {}, make("h3", {}, title), make("ul", { class: "thumbs" }, these.map(thumb)))] : [];
  }));
  const staying = found.alarms.filter((one) => one.verdict === "stays");
  if (staying.length) part("alarms").append(make("details", {}, make("summary", {}, `Would have been raised, too: ${staying.length}`), make("ul", { class: "thumbs" }, staying.map(thumb))));
}
function thumb(alarm) {
  const shown = alarm.thumb ? make("img", { src: `${path("events", alarm.id, "thumb.jpg")}?width=320`, alt: "", loading: "lazy" }) : make("span", { class: "blank dim" }, "no image");
  return make("li", {}, make("a", { href: path("events", alarm.id), title: alarm.why }, shown, make("span", {}, make("b", {}, moment(alarm.when)), alarm.verdict === "unknown" ? `: ${alarm.why}` : "")));
}

function take(now) {
  hash = now.hash;
  load(now.areas);
  saved = JSON.stringify(grouped());
  inherited(now.inherited);
  tryNow();
}
function inherited(keys) {
  part("inherited").hidden = !keys.length;
  part("inherited").textContent = keys.length ? `Those to ${keys.join(" and to ").replace("to privacy", "keep private")} come from the defaults in ${data.file}; a change gives this camera its own.` : "";
}
part("save").addEventListener("click", () => attempt(async () => {
  part("save").disabled = true;
  try {
    const now = await send(path("cameras", data.camera, "areas"), { areas: grouped(), hash });
    take(now);
    part("said").textContent = `Saved: ${now.watch}.`;
    say(`Saved: ${now.watch}`, { text: "Undo", run: () => attempt(() => undo(now)) });
  } finally {
    show();
    part("outcome-name").focus({ preventScroll: true }); // the button that was pressed is disabled
  }
}));
async function undo({ before, after }) {
  const now = await send(path("cameras", data.camera, "areas", "undo"), { before, after });
  take(now);
  say(`As before: ${now.watch}`);
}

// The frame that is drawn on.
async function live() {
  const line = part("frame-line");
  line.textContent = "…";
  const response = await fetch(`${path("cameras", data.camera, "plain.jpg")}?width=1280`, { credentials: "same-origin" }).catch(() => null);
  if (response?.status === 200) {
    const before = image.src;
    image.src = URL.createObjectURL(await response.blob());
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
    line.textContent = "";
    return;
  }
  const other = data.backgrounds[0];
  line.textContent = response?.status === 503 ? "The watch is not running." : "No frame has come yet.";
  if (other && image.src.endsWith("blank.svg")) { part("background").value = other.id; back(); }
}
function back() {
  const id = part("background").value;
  part("refresh").disabled = id !== "";
  if (id) image.src = path("events", id, "files", "snapshot.jpg"); else live();
}
for (const option of part("background").options) if (option.dataset.when) option.textContent = `Event of ${moment(option.dataset.when)}`;
part("background").addEventListener("change", back);
part("refresh").addEventListener("click", live);
part("reset").addEventListener("click", () => replace(JSON.parse(saved)));
addEventListener("beforeunload", (event) => { if (isChanged()) event.preventDefault(); });
inherited(data.inherited);
open(data.areas, { changed: tryLater, shown });
saved = JSON.stringify(grouped());
show();
live();
