// One event: the player, its scores, and what people say of it.
import { attempt, get, path, send } from "./lib/api.js";
import { make } from "./lib/dom.js";
import { Judge } from "./lib/judge.js";
import { keys } from "./lib/keys.js";
import { Player } from "./lib/player.js";
import { ScoreLine } from "./lib/score_line.js";
import { lasting, moment } from "./lib/time.js";

const page = document.getElementById("event");
const { id } = page.dataset;
const mayJudge = page.dataset.judge === "yes";
const find = (selector) => page.querySelector(selector);
const address = (...parts) => path("events", id, ...parts);
const GOING_ON = 2000; // ms between two looks at an event that is going on

const line = new ScoreLine(find(".timeline"));
const screen = find(".screen");
let player = null;
let details = null;

if (screen) {
  player = new Player(find(".clip"), find(".heat"), (part) => address("files", part.file) + (details.over ? "" : `?bytes=${part.bytes}`)); // what grows is played as it is now
  player.addEventListener("time", shown);
  player.addEventListener("state", state);
  player.addEventListener("codec", (event) => codec(event.detail.overlay));
  player.addEventListener("end", () => { if (details && !details.over) again(); });
  page.player = player; // for who looks into the page
}

async function load() {
  details = await get(address("details"));
  const ends = [...details.clips, ...details.overlays].flatMap((part) => [part.start, part.start + part.times.at(-1)]);
  line.load(details.scores, details.event, ends);
  if (!player || !(details.clips.length || details.overlays.length)) return;
  const first = !player.details;
  player.load(details);
  if (player.shape) screen.style.setProperty("--shape", player.shape.join(" / "));
  const seek = find(".seek");
  [seek.min, seek.max] = [player.main.start, player.main.end];
  if (first) player.seek(Math.max(player.main.start, details.event.start - 1));
}

// --- an event that is going on ---
async function again() {
  const before = details.version;
  await load().catch(() => {});
  const { card, event } = details;
  document.getElementById("lasted").textContent = details.over ? lasting(card.seconds) : `going on, ${lasting(Math.max(0, (details.scores.time.at(-1) ?? event.start) - event.start))} so far`;
  document.getElementById("peak").textContent = `${+event.peak_score.toPrecision(3)} in frame ${event.peak_index}`;
  document.getElementById("triggers").textContent = card.triggers.join(", ");
  if (card.why) document.getElementById("why").textContent = card.why;
  document.getElementById("going").hidden = details.over;
  if (details.over && before !== details.version && document.activeElement !== note) location.reload(); // the files are whole now
}

async function watchOn() {
  while (!details.over) {
    await new Promise((done) => setTimeout(done, GOING_ON));
    if (!document.hidden) await again();
  }
}

// --- what is shown ---
function shown() {
  const { event } = details;
  find(".seek").value = player.time;
  find(".seek").setAttribute("aria-valuetext", `${(player.time - event.start).toFixed(2)} seconds after the event began`);
  const wall = event.start_wall ? ` · ${moment(new Date(event.start_wall).getTime() + (player.time - event.start) * 1000)}` : "";
  find(".clock").textContent = `${signed(player.time - event.start)} s${wall}`;
  line.mark(player.time);
  const row = line.row(player.time);
  const { index, score, threshold, probability } = details.scores;
  if (row >= 0) {
    const limit = threshold[row] == null ? "" : `, threshold ${+threshold[row].toPrecision(3)}`;
    const chance = probability[row] == null ? "" : `, probability ${probability[row].toPrecision(2)}`;
    document.getElementById("row-now").textContent = `Frame ${index[row]}: score ${score[row] == null ? "unknown" : +score[row].toPrecision(3)}${limit}${chance}`;
    page.dataset.index = index[row];
  }
  boxes();
}

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function state() {
  const button = find("[data-do=play]");
  button.textContent = player.playing ? "❚❚" : "▶";
  button.setAttribute("aria-label", player.playing ? "Pause" : "Play");
}

function codec(hasOverlay) {
  const notice = document.getElementById("codec");
  const name = details.clips[0]?.codec?.toUpperCase() ?? "";
  notice.hidden = false;
  notice.replaceChildren(
    `This browser does not play the clip's codec${name && name !== "H264" ? ` (${name})` : ""}. `,
    hasOverlay ? "The overlay of the scored frames is shown instead. " : "",
    ...(details.clips.length ? [make("a", { href: `${address("files", details.clips[0].file)}?download=1`, download: true }, "Download the original clip"), "."] : []),
  );
  find(".opacity").disabled = true;
  [find(".seek").min, find(".seek").max] = [player.main.start, player.main.end];
}

function boxes() {
  const canvas = find(".boxes");
  const [wide, high] = player.shape ?? [16, 9];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const g = canvas.getContext("2d");
  g.clearRect(0, 0, wide, high);
  if (!find(".show-boxes").checked) return;
  const width = Math.max(1.5, wide / 400);
  g.lineWidth = width;
  g.font = `${Math.max(10, wide / 50)}px sans-serif`;
  for (const track of details.tracks) {
    const box = boxAt(track, player.time);
    if (!box) continue;
    frame(g, box, "#ffd23f", width);
    g.fillStyle = "#ffd23f";
    g.fillText(String(track.number), box[0] + 3 * width, Math.max(12, box[1] - 2 * width));
  }
  if (Math.abs(player.time - details.event.peak_time) < 0.15) for (const box of details.regions) frame(g, box, "#ff5a4f", width);
}

function frame(g, [x, y, w, h], colour, width) {
  g.strokeStyle = "rgb(0 0 0 / .6)";
  g.lineWidth = width * 2;
  g.strokeRect(x, y, w, h);
  g.strokeStyle = colour;
  g.lineWidth = width;
  g.strokeRect(x, y, w, h);
}

function boxAt(track, time) {
  if (time < track.start - 0.02 || time > track.end + 0.25) return null;
  const { path: points } = track;
  const after = points.findIndex(([then]) => then >= time);
  if (after <= 0) return after === 0 ? points[0][1] : points.at(-1)[1];
  const [[from, a], [until, b]] = [points[after - 1], points[after]];
  const share = until > from ? (time - from) / (until - from) : 1;
  return a.map((value, at) => value + (b[at] - value) * share);
}

// --- controls ---
line.addEventListener("pick", ({ detail }) => {
  if (!player) return;
  player.pause();
  player.seek(details.scores.time[detail]);
});
find("[data-do=play]")?.addEventListener("click", () => player.toggle());
find("[data-do=back]")?.addEventListener("click", () => player.move(-1));
find("[data-do=forward]")?.addEventListener("click", () => player.move(1));
find(".seek")?.addEventListener("input", (event) => { player.pause(); player.seek(Number(event.target.value)); });
find(".speed")?.addEventListener("change", (event) => player.speed(Number(event.target.value)));
find(".show-boxes")?.addEventListener("change", boxes);
const opacity = find(".opacity");
if (opacity) {
  opacity.value = localStorage.getItem("overlay") ?? opacity.value;
  opacity.addEventListener("input", () => { player.fade(opacity.value / 100); localStorage.setItem("overlay", opacity.value); });
  player.opacity = opacity.value / 100;
}
page.addEventListener("click", (event) => {
  const button = event.target.closest("[data-seek]");
  if (button && player) { player.pause(); player.seek(Number(button.dataset.seek)); }
});

// --- judging ---
const judge = new Judge((events) => {
  const said = events.find((one) => one.id === id);
  if (said) show(said);
  if (said) excepted();
  history();
});

const here = document.getElementById("here");
here?.addEventListener("click", () => normalHere());

/** Normal at its place; where it is that already, a press takes that decision's exception away. */
async function normalHere() {
  if (here.getAttribute("aria-pressed") !== "true") await judge.decide([id], { label: "normal", here: true });
  else if (await attempt(() => send(path("cameras", page.dataset.camera, "exceptions", here.dataset.id), {}, "DELETE"))) judge.say("The exception is removed; the event stays normal.");
  excepted();
}

async function excepted() {
  if (!here) return;
  const { exceptions } = await get(path("cameras", page.dataset.camera, "exceptions")).catch(() => ({ exceptions: [] }));
  const mine = exceptions.find((one) => one.event === id);
  here.dataset.id = mine?.id ?? "";
  here.setAttribute("aria-pressed", String(Boolean(mine)));
  document.getElementById("here-means").textContent = mine
    ? `The same raises no alarm at this place, until the scene has learnt it, or ${moment(mine.expires)} at the latest.`
    : "Judges it normal, and the same raises no alarm at this place from now on, until the scene has learnt it.";
}

function show(said) {
  page.dataset.label = said.label ?? "";
  page.toggleAttribute("data-kept", said.kept);
  for (const button of page.querySelectorAll(".judge button")) {
    const on = button.dataset.label ? button.dataset.label === said.label : said.kept;
    button.setAttribute("aria-pressed", String(on));
  }
  if (note && document.activeElement !== note) note.value = note.dataset.saved = said.note ?? "";
}

const label = (value) => judge.decide([id], { label: page.dataset.label === value ? null : value });
const keep = () => judge.decide([id], { kept: !page.hasAttribute("data-kept") });
for (const button of page.querySelectorAll(".judge button")) button.addEventListener("click", () => (button.dataset.label ? label(button.dataset.label) : keep()));

const note = document.getElementById("note");
if (note) {
  note.dataset.saved = note.value;
  const save = async () => {
    const text = note.value.trim();
    if (text === note.dataset.saved.trim()) return;
    note.dataset.saved = text;
    if (await judge.decide([id], { note: text || null }) === undefined) note.dataset.saved = "\0"; // not saved
  };
  note.addEventListener("blur", save);
  note.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); } });
}

// --- decisions ---
const decided = document.getElementById("decisions");

async function history() {
  const { decisions, became } = await get(address("decisions"));
  list(decisions);
  const said = document.getElementById("became");
  if (said) { said.textContent = became ?? ""; said.hidden = !became; }
}

function list(decisions) {
  decided.replaceChildren(...decisions.map((one) => make("li", {},
    make("span", { class: one.undone_by ? "undone" : "" }, `${moment(one.at)} ${one.by}: ${words(one.after)}`, one.undone_by ? ` (taken back by ${one.undone_by})` : ""),
    mayJudge && !one.undone_by ? make("button", { type: "button", "aria-label": `Take back: ${words(one.after)}`, onclick: () => judge.undo(one.number) }, "Undo") : null)));
  if (!decisions.length) decided.append(make("li", { class: "dim" }, decided.dataset.none));
}

function words(after) {
  const said = [];
  if ("label" in after) said.push(after.label ?? "judgement taken away");
  if ("kept" in after) said.push(after.kept ? "kept" : "no longer kept");
  if ("note" in after) said.push(after.note ? `note “${after.note.length > 60 ? `${after.note.slice(0, 60)}…` : after.note}”` : "note removed");
  return said.join(", ");
}

list([...decided.querySelectorAll("li[data-number]")].map(({ dataset }) => ({ number: Number(dataset.number), by: dataset.by, at: dataset.at, after: JSON.parse(dataset.after), undone_by: dataset.undone || null })));

const go = (name) => document.getElementById(name)?.click();
keys([
  ["j", "Older event", () => go("older-event")],
  ["k", "Newer event", () => go("newer-event")],
  ["l", "Back to the list", () => go("to-list")],
  ...(player ? [
    [" ", "Play or pause", () => player.toggle()],
    [",", "One frame back", () => player.move(-1)],
    [".", "One frame forward", () => player.move(1)],
    ["b", "Regions on or off", () => { find(".show-boxes").click(); }],
  ] : []),
  ...(mayJudge ? [
    ["x", "Violation", () => label("violation")],
    ["n", "Normal", () => label("normal")],
    ["h", "Normal here: no alarm of the same at this place", normalHere],
    ["s", "Unsure", () => label("unsure")],
    ["e", "Keep the evidence, or not", keep],
    ["u", "Undo the last decision", () => judge.undo()],
    ["m", "Write a note", () => note.focus()],
  ] : []),
], document.getElementById("keys"));

await load();
if (!details.over) watchOn();
