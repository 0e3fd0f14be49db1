// One camera: its live frame, and the timeline of its scores.
import { make } from "./lib/dom.js";
import { path } from "./lib/api.js";
import { ago, isLearning, Live, show, stateOf, widthFor } from "./lib/live.js";
import { showPhase, showScore } from "./lib/scorebar.js";
import { Timeline } from "./lib/timeline.js";
import { showTimes } from "./lib/time.js";

const OLD = 3; // seconds: a frame is not fresh
const { camera: first } = JSON.parse(document.getElementById("data").textContent);
const part = (selector) => document.querySelector(selector);
const large = part("#large"), image = part("#frame"), now = part(".now");
const timeline = new Timeline(first.name);
let camera = first, facts = null, shownAt = null, alarm = null;

const live = new Live({
  onFrame: async (_, its, blob) => {
    facts = its;
    shownAt = performance.now() / 1000 - Math.max(0, its.age ?? 0);
    part(".word.none").hidden = true;
    if (!isLearning(camera)) showScore(now, facts);
    timeline.add(its);
    age();
    await show(image, blob);
  },
  onStatus: ({ watch, cameras }) => {
    part("#away").hidden = watch !== "away";
    const its = cameras.find((one) => one.name === camera.name);
    if (its) update(its);
  },
  onLine: (mode) => {
    part("#line").textContent = { live: "", polling: "Live updates do not get through; frames are asked for one by one.", lost: "The console does not answer; trying again." }[mode];
  },
});

function update(its) {
  camera = its;
  const [icon, word, kind] = stateOf(its);
  const state = now.querySelector(".state");
  state.className = `state ${kind}`;
  state.firstElementChild.textContent = icon;
  now.querySelector(".text").textContent = word;
  const learns = isLearning(its);
  part("#learning").hidden = !learns;
  if (learns) showPhase(now, its); else if (facts == null) showScore(now, null);
  const reason = now.querySelector(".reason");
  reason.hidden = !its.reason || its.state === "running";
  reason.textContent = its.reason ?? "";
  if (its.width && its.height) { image.width = its.width; image.height = its.height; }
  const alarmed = Boolean(its.last?.alarm || its.event);
  if (alarmed !== alarm) {
    large.classList.toggle("alarmed", alarmed);
    part(".word.alarm").hidden = !alarmed;
    if (alarmed && alarm != null) part("#said").textContent = `Alarm: ${its.name}`;
    alarm = alarmed;
  }
  const event = its.last_event, last = now.querySelector(".last");
  if (event && last.dataset.key !== `${event.id} ${event.severity}`) {
    last.dataset.key = `${event.id} ${event.severity}`;
    last.replaceChildren("Last event ", make("a", { href: path("events", event.id) }, make("time", { datetime: event.time }), `, ${event.severity}`));
    showTimes(last);
    timeline.addEvent(event);
  }
  age();
}

function age() {
  const seconds = shownAt == null ? 0 : performance.now() / 1000 - shownAt;
  const word = part(".word.age");
  word.hidden = seconds < OLD;
  large.classList.toggle("old", seconds >= 10);
  if (seconds >= OLD) word.textContent = ago(seconds);
}

function ask() { live.watch({ [camera.name]: widthFor(large.clientWidth) }); }

update(first);
ask();
new ResizeObserver(ask).observe(large);
setInterval(age, 1000);
