// The live wall: tiles of all cameras, of which only those in sight are asked for.
import { path, root } from "./lib/api.js";
import { make } from "./lib/dom.js";
import { ago, isLearning, Live, show, stateOf, widthFor } from "./lib/live.js";
import { showPhase, showScore } from "./lib/scorebar.js";
import { showTimes } from "./lib/time.js";

const wall = document.getElementById("wall");
const filter = document.getElementById("filter"), alarmsFirst = document.getElementById("alarms-first");
const OLD = 3, QUIET = 60; // seconds: a frame is not fresh; an alarm that comes again is not said again
const LEAST = 215, FOOT = 106, GAP = 12, MARGIN = 16; // CSS pixels of a tile and of what is below its frame
const tiles = new Map(); // by name
let order = 0;

class Tile {
  constructor(node, camera) {
    this.node = node; this.name = camera.name; this.camera = camera; this.place = order++;
    this.image = node.querySelector("img");
    this.inSight = false; this.alarm = false; this.saidAt = -Infinity; this.shownAt = null;
    this.part = (name) => node.querySelector(`.${name}`);
    this.image.alt = `${this.name}, live`;
    this.update(camera);
    sight.observe(node);
  }

  async take(facts, blob) {
    this.facts = facts;
    this.shownAt = performance.now() / 1000 - Math.max(0, facts.age ?? 0);
    this.part("none").hidden = true;
    this.words();
    this.age();
    await show(this.image, blob);
  }

  update(camera) {
    this.camera = camera;
    const [icon, word, kind] = stateOf(camera);
    const state = this.part("state");
    state.className = `state ${kind}`;
    state.firstElementChild.textContent = icon;
    this.part("text").textContent = word;
    state.title = camera.reason ?? "";
    if (camera.width && camera.height) {
      this.image.width = camera.width; this.image.height = camera.height;
    }
    this.words();
    this.setAlarm(Boolean(camera.last?.alarm || camera.event));
    this.last(camera.last_event, isLearning(camera));
    this.age();
  }

  /** The score, or why there is none. */
  words() {
    if (isLearning(this.camera)) showPhase(this.node, this.camera); else showScore(this.node, this.facts);
    const { state, reason } = this.camera;
    if (state && state !== "running" && reason) Object.assign(this.part("odds"), { textContent: reason, title: reason });
  }

  last(event, learns) {
    const key = learns ? "learns" : event ? `${event.id} ${event.severity}` : "";
    if (key === this.lastKey) return;
    this.lastKey = key;
    const place = this.part("last");
    if (learns) { place.replaceChildren("No alarms yet: ", make("a", { href: path("cameras", this.name, "learning") }, "how far it is")); return; }
    if (!event) { place.replaceChildren("No event yet"); return; }
    const time = make("time", { datetime: event.time });
    place.replaceChildren("Last event ", make("a", { href: path("events", event.id) }, time, `, ${event.severity}`));
    showTimes(place);
  }

  setAlarm(on) {
    if (on === this.alarm) return;
    this.alarm = on;
    this.node.classList.toggle("alarmed", on);
    this.part("alarm").hidden = !on;
    const now = performance.now() / 1000;
    if (on && now - this.saidAt > QUIET) document.getElementById("said").textContent = `Alarm: ${this.name}`;
    if (on) this.saidAt = now;
  }

  age() {
    const age = this.shownAt == null ? 0 : performance.now() / 1000 - this.shownAt;
    const word = this.part("age");
    word.hidden = age < OLD;
    this.node.classList.toggle("old", age >= 10);
    if (age >= OLD) word.textContent = ago(age);
  }
}

const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) tiles.get(entry.target.dataset.camera).inSight = entry.isIntersecting;
  ask();
}, { rootMargin: "80px" });

const live = new Live({
  onFrame: (name, facts, blob) => tiles.get(name)?.take(facts, blob),
  onStatus: takeStatus,
  onLine: (mode) => {
    document.getElementById("line").textContent = { live: "", polling: "Live updates do not get through; frames are asked for one by one.", lost: "The console does not answer; trying again." }[mode];
  },
});

function takeStatus({ watch, cameras }) {
  document.getElementById("away").hidden = watch !== "away";
  let added = false;
  for (const camera of cameras) {
    const tile = tiles.get(camera.name);
    if (tile) tile.update(camera);
    else { add(camera); added = true; }
  }
  arrange();
  if (added) ask();
}

function add(camera) {
  const node = document.getElementById("tile").content.firstElementChild.cloneNode(true);
  node.dataset.camera = camera.name;
  Object.assign(node.querySelector(".name"), { textContent: camera.name, title: camera.name });
  node.querySelector(".shown").href = path("cameras", camera.name);
  node.querySelector(".meter").setAttribute("aria-label", `Score of ${camera.name}`);
  wall.append(node);
  tiles.set(camera.name, new Tile(node, camera));
}

/** Asks for the tiles in sight, as wide as they are. */
function ask() {
  const seen = [...tiles.values()].filter((tile) => tile.inSight && !tile.node.hidden);
  live.watch(Object.fromEntries(seen.map((tile) => [tile.name, widthFor(tile.node.clientWidth, 960)])));
}

/** Order and number of columns: all in the window if they stay large enough, else as many in a row as do. */
function arrange() {
  const asked = filter.value.trim().toLowerCase();
  const first = alarmsFirst.getAttribute("aria-pressed") === "true";
  const all = [...tiles.values()];
  const sorted = first ? all.sort((a, b) => b.alarm - a.alarm || a.place - b.place) : all.sort((a, b) => a.place - b.place);
  if (sorted.some((tile, at) => wall.children[at] !== tile.node)) {
    const focused = document.activeElement;
    wall.append(...sorted.map((tile) => tile.node));
    if (wall.contains(focused)) focused.focus({ preventScroll: true });
  }
  sorted.forEach((tile) => {
    tile.node.hidden = asked !== "" && !tile.name.toLowerCase().includes(asked);
  });
  const shown = sorted.filter((tile) => !tile.node.hidden);
  document.getElementById("none").hidden = shown.length > 0 || !tiles.size;
  document.getElementById("controls").hidden = tiles.size < 2;
  filter.hidden = tiles.size <= 12;
  const [columns, tile] = columnsFor(shown, wall.parentElement.clientWidth - 2 * MARGIN, innerHeight - wall.offsetTop - 20);
  const wide = tile == null ? "" : `${columns * (tile + GAP) - GAP}px`;
  if (columns !== arrange.columns || wide !== wall.style.maxWidth) {
    wall.style.setProperty("--columns", columns);
    wall.style.maxWidth = wide;
    arrange.columns = columns;
    ask();
  }
  wall.classList.add("arranged");
}

/** Number of columns, and width of a tile in pixels where all are in sight; the largest tiles, with few empty places. */
function columnsFor(shown, width, height) {
  const number = shown.length;
  if (width < 700) return [number <= 4 || width < 340 ? 1 : 2, null];
  const shape = Math.max(0.5, ...shown.map(({ camera }) => Math.min(1, (camera.height ?? 9) / (camera.width ?? 16))));
  let best = [0, 0, 0];
  for (let columns = 1; columns <= number; columns += 1) {
    const rows = Math.ceil(number / columns);
    const tile = Math.floor(Math.min((width + GAP) / columns - GAP, ((height + GAP) / rows - GAP - FOOT) / shape));
    const worth = tile * tile * Math.sqrt(number / (columns * rows));
    if (tile >= LEAST && worth > best[2]) best = [columns, tile, worth];
  }
  return best[0] ? best : [Math.max(1, Math.min(number, Math.floor((width + GAP) / (320 + GAP)))), null];
}

const data = JSON.parse(document.getElementById("data").textContent);
data.cameras.forEach((camera, at) => tiles.set(camera.name, new Tile(wall.children[at], camera)));
alarmsFirst.setAttribute("aria-pressed", String(localStorage.getItem(`${root} alarms first`) === "true"));
alarmsFirst.addEventListener("click", () => {
  const on = alarmsFirst.getAttribute("aria-pressed") !== "true";
  alarmsFirst.setAttribute("aria-pressed", String(on));
  localStorage.setItem(`${root} alarms first`, String(on));
  arrange();
});
filter.addEventListener("input", () => { arrange(); ask(); });
new ResizeObserver(() => { arrange(); ask(); }).observe(wall);
setInterval(() => tiles.forEach((tile) => tile.age()), 1000);
arrange();
