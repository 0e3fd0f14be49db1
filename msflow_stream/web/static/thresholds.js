// Thresholds by their consequence: a dial of false alarms, and the alarms that there would have been at each position.
import { attempt, get, path, say, send } from "./lib/api.js";
import { DialChart } from "./lib/dial_chart.js";
import { make } from "./lib/dom.js";
import { lasting, moment, showTimes } from "./lib/time.js";

const LISTED = 60; // alarms, until more are asked for
const { camera, scene, applied: first, mayApply } = JSON.parse(document.getElementById("data").textContent);
const part = (id) => document.getElementById(id);
const dial = part("rate");
const chart = new DialChart(part("chart"));
const thumbnails = new Map(); // by burst: the image stays while the dial is turned
let facts = null, place = null, listed = LISTED, applied = first, asked = null;
let span = Number(localStorage.getItem("dial span")) || 86400, own = null;

const plural = (n, word) => `${n || "no"} ${word}${n === 1 ? "" : "s"}`;
const position = () => (place == null ? facts.today : facts.positions[place]);

// ---- what was recorded

async function load() {
  const until = own ? own[1] : Math.ceil(Date.now() / 1000), since = own ? own[0] : until - span;
  const query = new URLSearchParams({ scene, since, until });
  const mine = (asked = {});
  waiting(0);
  spans();
  await attempt(async () => {
    for (;;) {
      const found = await get(`${path("cameras", camera, "dial")}?${query}`);
      if (asked !== mine) return;
      if (found.positions) { show(found); return; }
      waiting(found.done);
      await new Promise((done) => setTimeout(done, 300));
    }
  });
  if (asked === mine) part("working").hidden = true;
}

function waiting(share) {
  part("working").hidden = false;
  part("progress").value = share;
  for (const one of [dial, part("rarer"), part("oftener")]) one.disabled = true;
}

function show(found) {
  const rate = place == null || !facts ? null : position().rate;
  facts = found;
  place = rate == null ? null : facts.positions.findIndex((one) => Math.abs(one.rate - rate) < 1e-9);
  if (place === -1) place = null;
  dial.max = Math.max(0, facts.positions.length - 1);
  for (const one of [dial, part("rarer"), part("oftener")]) one.disabled = !facts.positions.length;
  dial.value = place ?? today();
  marks();
  kinds();
  part("legend").hidden = false;
  part("notes").hidden = !facts.said.length;
  part("said").replaceChildren(...facts.said.map((text) => make("li", {}, text)));
  chart.load(facts);
  turn();
}

// ---- the dial

/** The position that is nearest to the thresholds of today. */
function today() {
  const kind = facts.kinds[0], threshold = facts.today.thresholds[kind];
  const distance = (one) => Math.abs(one.thresholds[kind] - threshold);
  let best = 0;
  facts.positions.forEach((one, at) => { if (distance(one) <= distance(facts.positions[best])) best = at; });
  return best;
}

function turn() {
  const began = performance.now();
  const it = position();
  listed = LISTED;
  dial.setAttribute("aria-valuetext", it.every ? `false alarms: ${it.every}; ${plural(it.alarms.length, "alarm")}` : "today's thresholds");
  chart.turn(it);
  words(it);
  list(it);
  performance.measure("turn", { start: began });
}

function words(it) {
  part("rate-text").textContent = it.every ?? "Today’s thresholds";
  const kind = part("rate-kind");
  kind.hidden = it.rate == null || it.supported;
  kind.textContent = "rarer than the footage supports";
  kind.className = "badge warn";
  part("counts").replaceChildren(...counted(it));
  part("labels").textContent = labelled(it);
  part("support").textContent = it.support ?? "";
  part("to-today").disabled = it.rate == null;
  if (mayApply) part("apply").disabled = it.rate == null;
  part("applied").textContent = applied ? `Applied by ${applied.by} at ${moment(applied.at)}: ${every(applied.rate)}.` : "";
}

function every(rate) {
  return facts.positions.find((one) => Math.abs(one.rate - rate) < 1e-9)?.every ?? `${rate.toPrecision(2)} an hour`;
}

/** What comes of a position: "12 alarms in 24 h; 3 of today's would not have been raised, 1 is new." */
function counted(it) {
  const many = it.alarms.length, fresh = it.alarms.filter((one) => one.new).length;
  const least = it.exact ? "" : "at least ";
  const parts = [make("b", {}, `${least}${plural(many, "alarm")}`), ` in ${watched()}`];
  if (it.rate == null) return [...parts, "."];
  const gone = it.gone.length;
  if (!gone && !fresh) return [...parts, facts.today.alarms.length ? "; the same as today." : "."];
  const changes = [];
  if (gone) changes.push(`${gone} of today’s would not have been raised`);
  if (fresh) changes.push(`${fresh} ${fresh === 1 ? "is" : "are"} new`);
  return [...parts, `; ${changes.join(", ")}.`];
}

function watched() {
  const hours = facts.hours;
  return hours >= 48 ? `${Math.round(hours / 24)} days that were watched` : hours >= 1 ? `${Number(hours.toFixed(1))} h that were watched` : `${lasting(hours * 3600)} that were watched`;
}

/** What becomes of alarms that people judged: "All 3 violations stay; 2 of 5 normal ones are gone." */
function labelled(it) {
  const said = [];
  const [stay, violations] = it.labels.violation ?? [0, 0], [left, normal] = it.labels.normal ?? [0, 0];
  if (violations) said.push(stay === violations ? (violations === 1 ? "✓ the violation that people marked stays" : `✓ all ${violations} violations that people marked stay`) : `⚠ ${violations - stay} of ${plural(violations, "violation")} that people marked would be missed`);
  if (normal) said.push(`${normal - left} of ${normal} that people called normal ${normal - left === 1 ? "is" : "are"} gone`);
  return said.length ? `${said.join("; ")}.` : "";
}

function marks() {
  const most = facts.positions.length - 1;
  if (most < 1) { part("marks").replaceChildren(); return; }
  const at = (number) => `${(100 * number) / most}%`;
  const mark = (number, kind, text) => { const one = make("span", { class: `mark ${kind}` }, text); one.style.left = at(number); one.classList.toggle("late", number > most / 2); return one; };
  const rarest = facts.positions.findIndex((one) => one.supported), made = [mark(today(), "today", "today")];
  if (rarest > 0) made.push(mark(rarest, "rarest", "rarest that footage supports"));
  part("marks").replaceChildren(...made);
}

// ---- one by one

function list(it) {
  const rows = it.alarms.map((one) => ({ ...one, state: it.rate != null && one.new ? "new" : "stays" }));
  for (const number of it.gone) rows.push({ ...facts.today.alarms[number], state: "gone" });
  rows.sort((a, b) => b.start - a.start);
  const place = part("alarms");
  place.replaceChildren(...rows.slice(0, listed).map(row));
  showTimes(place);
  part("none").hidden = rows.length > 0;
  part("none").textContent = facts.hours ? "No alarm in this time." : "Nothing was recorded in this time. Choose a longer span.";
  part("more").hidden = rows.length <= listed;
  part("more").textContent = `${rows.length - listed} more`;
}

const STATES = { stays: ["", "", ""], new: ["+", "new", "good"], gone: ["×", "no longer", "dim"] };

function row(one) {
  const [icon, word, kind] = STATES[one.state];
  const name = one.triggers.join(", ");
  const time = make("time", { datetime: new Date(one.start * 1000).toISOString() });
  const facts = [make("span", { class: "what" }, `${name} · ${one.severity} · ${lasting(Math.max(0.1, one.end - one.start))}`)];
  if (word) facts.push(make("span", { class: `badge ${kind}` }, `${icon} ${word}`));
  if (one.label) facts.push(make("span", { class: `badge ${{ violation: "bad", normal: "good" }[one.label] ?? "warn"}` }, one.label));
  const body = [picture(one), make("span", { class: "text" }, make("b", {}, time), ...facts)];
  return make("li", { class: one.state }, one.id ? make("a", { href: path("events", one.id) }, ...body) : make("span", { class: "row" }, ...body));
}

function picture(one) {
  const url = one.burst != null ? path("cameras", camera, "bursts", String(one.burst)) : one.id ? path("events", one.id, "files", "snapshot_overlay.jpg") : null;
  if (!url) return make("span", { class: "thumbnail empty", "aria-hidden": "true" });
  const known = thumbnails.get(url);
  if (known && !known.isConnected) return known;
  const made = make("img", { class: "thumbnail", alt: "", width: 128, height: 72, loading: "lazy", decoding: "async", src: url });
  if (!known) thumbnails.set(url, made);
  return made;
}

// ---- spans and scores

function spans() {
  for (const button of document.querySelectorAll("[data-span]")) button.setAttribute("aria-pressed", String(!own && Number(button.dataset.span) === span));
  part("own-span").setAttribute("aria-pressed", String(own != null));
}

function kinds() {
  const group = part("kinds");
  group.hidden = facts.kinds.length < 2;
  if (!facts.kinds.includes(chart.kind)) chart.kind = facts.kinds[0];
  group.replaceChildren(...facts.kinds.map((kind) => make("button", { type: "button", "aria-pressed": String(kind === chart.kind), onclick: () => { chart.kind = kind; kinds(); chart.load(facts); chart.turn(position()); } }, kind)));
}

// ---- applying

async function confirm() {
  const it = position();
  part("confirm-counts").textContent = `False alarms: ${it.every}. ${part("counts").textContent} ${part("labels").textContent}`;
  part("promise").replaceChildren(make("li", {}, "What that rests on is worked out …"));
  part("confirm").showModal();
  await attempt(async () => {
    const { said } = await get(`${path("cameras", camera, "promise")}?${new URLSearchParams({ scene, rate: it.rate })}`);
    part("promise").replaceChildren(...said.map((text) => make("li", {}, text)));
  });
}

async function applyIt() {
  const button = part("confirm-apply"), { rate } = position();
  button.disabled = true;
  await attempt(async () => {
    const done = await send(path("cameras", camera, "thresholds"), { scene, rate });
    changed(done, "Applied");
  });
  button.disabled = false;
  part("confirm").close();
  part("dial-name").focus({ preventScroll: true }); // the button that was pressed goes or is disabled
}

async function undo() {
  await attempt(async () => changed(await send(path("cameras", camera, "thresholds", "undo"), { scene }), "Put back"));
  part("dial-name").focus({ preventScroll: true });
}

function changed(done, word) {
  applied = done.applied;
  part("undo").hidden = !applied;
  place = null;
  say(`${word}; ${done.watch}.`, word === "Applied" ? { text: "Undo", run: undo } : null);
  load();
}

// ---- what a person does

function go(to) {
  place = Math.max(0, Math.min(facts.positions.length - 1, to));
  dial.value = place;
  turn();
}

dial.addEventListener("input", () => go(Number(dial.value)));
part("rarer").addEventListener("click", () => go((place ?? today()) - 1));
part("oftener").addEventListener("click", () => go((place ?? today()) + 1));
part("to-today").addEventListener("click", () => { place = null; dial.value = today(); turn(); });
part("more").addEventListener("click", () => { listed += 500; list(position()); });
part("apply")?.addEventListener("click", confirm);
part("undo")?.addEventListener("click", undo);
part("confirm-apply").addEventListener("click", applyIt);
part("confirm-cancel").addEventListener("click", () => part("confirm").close());
part("scene")?.addEventListener("change", (event) => location.assign(`?${new URLSearchParams({ scene: event.target.value })}`));
for (const button of document.querySelectorAll("[data-span]")) button.addEventListener("click", () => {
  span = Number(button.dataset.span); own = null;
  localStorage.setItem("dial span", span);
  load();
});
part("own-span").addEventListener("click", () => {
  const form = part("span-form");
  form.hidden = !form.hidden;
  part("own-span").setAttribute("aria-expanded", String(!form.hidden));
  const local = (seconds) => new Date(seconds * 1000 - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  if (!part("since").value && facts) [part("since").value, part("until").value] = facts.span.map(local);
});
part("span-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const [from, to] = [part("since"), part("until")].map((one) => new Date(one.value).getTime() / 1000);
  if (!(to > from)) { say("The end of the span is before its start.", null, "bad"); return; }
  own = [from, to];
  load();
});
load();
