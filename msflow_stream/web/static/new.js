// A new camera, step by step. What is typed stays in this tab, through every failed try; user and password are kept nowhere.
import { path, say, send } from "./lib/api.js";
import { grouped, isDrawing, open } from "./lib/board.js";
import { make } from "./lib/dom.js";

const STEPS = ["camera", "areas", "learn", "start"], KEPT = "new camera", FIELDS = ["name", "address", "transport", "learn", "rate", "calibrate", "settings"];
const SECRET = /[?&;][^=&;]*(pass|pwd|pw|token|secret|key|auth|sig|cred|user|login|sess)[^=&;]*=/i;
const LONG = { d: 86400, h: 3600, m: 60, s: 1 };
const part = (id) => document.getElementById(id);
const data = JSON.parse(part("data").textContent);
let frame = null, triedWith = null, anyway = false, asking = null, adding = false;

// What is kept for this tab: never what is secret.
function keep() {
  const values = Object.fromEntries(FIELDS.map((id) => [id, part(id).value]));
  if (SECRET.test(values.address) || values.address.includes("@")) delete values.address;
  const draft = { ...values, areas: grouped(), login: part("user").value !== "" };
  try { sessionStorage.setItem(KEPT, JSON.stringify(draft)); } catch { /* without room, nothing is kept */ }
}
function kept() {
  try {
    const draft = JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
    if (draft.added && location.hash !== "#again") return {};
    return draft;
  } catch { return {}; }
}

// Steps: each has its place in the browser's history, so that its Back goes one back.
const here = () => (STEPS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "camera");
const isTried = () => triedWith === JSON.stringify(what());
function mayGo(step) {
  if (step === "camera") return true;
  if (!(isTried() || anyway) || nameTrouble()) return false;
  return step !== "start" || !learnTrouble();
}
function go(step) {
  if (!mayGo(step)) return whyNot();
  if (location.hash.slice(1) !== step) location.hash = step; else show();
}
function whyNot() {
  const name = nameTrouble();
  if (here() === "learn" && !name) return wrong("learn", learnTrouble());
  if (here() !== "camera") location.hash = "camera";
  if (name) { wrong("name", name); part("name").focus(); return; }
  wrong("address", part("address").value.trim() ? "Try this address first." : "Type the camera's address.");
  part("address").focus();
}
function show(first = false) {
  let step = here();
  if (!mayGo(step)) step = "camera";
  for (const section of document.querySelectorAll("[data-step]")) section.hidden = section.dataset.step !== step;
  for (const link of document.querySelectorAll(".steps a")) {
    const to = link.dataset.to;
    link.toggleAttribute("aria-current", to === step);
    if (to === step) link.setAttribute("aria-current", "step");
    link.classList.toggle("done", STEPS.indexOf(to) < STEPS.indexOf(step));
    if (mayGo(to)) link.removeAttribute("aria-disabled"); else link.setAttribute("aria-disabled", "true");
  }
  if (step === "start") check();
  if (!first) { part(`${step}-name`).focus({ preventScroll: true }); scrollTo({ top: 0 }); }
}

// The camera.
const what = () => ({ address: part("address").value.trim(), user: part("user").value, password: part("password").value, transport: part("transport").value });
function wrong(field, text) {
  const [input, line] = [part(field), part(`${field}-wrong`)];
  input.setAttribute("aria-invalid", String(Boolean(text)));
  line.hidden = !text;
  line.textContent = text ?? "";
}
function nameTrouble() {
  const name = part("name").value.trim(), same = (one) => one.toLowerCase() === name.toLowerCase();
  if (!name) return "Give the camera a name.";
  if (!new RegExp(data.pattern).test(name)) return "A name has letters, digits, dots, dashes and underscores, and begins with a letter or a digit.";
  if (data.names.some(same)) return `There is a camera ${name} already.`;
  if (data.scenes.some(same)) return `There is a scene ${name} already: choose another name.`;
  return null;
}
function moveLogin() {
  const found = part("address").value.match(/^\s*([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)@(.*)$/i);
  if (!found) return;
  const [, scheme, login, rest] = found, colon = login.indexOf(":");
  const plain = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
  part("address").value = scheme + rest;
  part("user").value = plain(colon < 0 ? login : login.slice(0, colon));
  part("password").value = colon < 0 ? "" : plain(login.slice(colon + 1));
  part("login-line").textContent = "Taken out of the address. They are written into the cameras file and shown nowhere.";
}
async function tryIt() {
  moveLogin();
  const values = what();
  for (const field of ["address", "user"]) wrong(field, null);
  wrong("name", part("name").value.trim() ? nameTrouble() : null);
  if (!values.address) { wrong("address", "Type the camera's address."); part("address").focus(); return; }
  if (!values.address.includes("://")) { values.address = `rtsp://${values.address}`; part("address").value = values.address; }
  const mine = asking = new AbortController();
  busy(true);
  try {
    const found = await send_(values, mine.signal);
    if (mine.signal.aborted) return;
    if (found.obstacle) refuse(found.obstacle, values); else accept(found, values);
  } catch (error) {
    if (error.name !== "AbortError") refuse({ text: `${error.message[0].toUpperCase()}${error.message.slice(1)}.`, advice: "What you typed is still here.", kind: "console" }, values);
  } finally {
    if (asking === mine) { asking = null; busy(false); }
  }
}
async function send_(values, signal) {
  const gone = new Promise((_, fail) => signal.addEventListener("abort", () => fail(new DOMException("", "AbortError"))));
  return Promise.race([send(path("new", "try"), values), gone]);
}
function busy(on) {
  part("try").disabled = on;
  part("try").classList.toggle("main", !frame);
  part("stop").hidden = !on;
  document.querySelector(".first-frame").classList.toggle("trying", on);
  part("first-word").hidden = !on && frame != null;
  if (on) { part("first-word").textContent = "Trying it; this takes some seconds."; part("outcome").hidden = true; part("to-areas").hidden = part("anyway").hidden = true; part("first").style.visibility = "hidden"; } else {
    part("first").style.visibility = "";
    if (frame == null) part("first-word").textContent = "No frame yet.";
  }
}
function accept(found, values) {
  const bytes = Uint8Array.from(atob(found.frame), (letter) => letter.charCodeAt(0));
  if (frame) URL.revokeObjectURL(frame);
  frame = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  part("first").src = part("frame").src = frame;
  part("first").alt = "First frame of the camera";
  Object.assign(part("first"), { width: found.width, height: found.height });
  triedWith = JSON.stringify(values);
  anyway = false;
  tell("good", "✓ The camera sends frames.", `${found.width} × ${found.height}, ${found.codec.toUpperCase()}, ${Number(found.rate.toPrecision(3))} frames per second; the first one came after ${found.seconds} s. Is it the right view?`);
  part("to-areas").hidden = false;
  show(true);
  part("to-areas").focus({ preventScroll: matchMedia("(min-width: 860px)").matches });
}
function refuse(obstacle, values) {
  forget();
  tell("bad", `✕ ${obstacle.text}`, obstacle.advice);
  if (obstacle.field) {
    wrong(obstacle.field === "password" ? "user" : obstacle.field, obstacle.text);
    part(obstacle.field).focus();
  }
  const passes = !["address", "console", "credentials"].includes(obstacle.kind);
  part("anyway").hidden = !passes;
  part("anyway").onclick = () => { if (JSON.stringify(what()) === JSON.stringify(values)) { anyway = true; go("areas"); } };
}
function tell(kind, text, advice) {
  part("outcome").className = kind;
  part("outcome").hidden = false;
  part("outcome-text").textContent = text;
  part("outcome-advice").textContent = advice;
}
function forget() {
  if (frame) URL.revokeObjectURL(frame);
  frame = triedWith = null;
  part("try").classList.add("main");
  anyway = false;
  part("first").src = part("frame").src = blank;
  part("first").alt = "";
  part("first-word").hidden = false;
}
const blank = part("first").src;
/** The address is another one than was tried. */
function changed() {
  for (const field of ["address", "user"]) wrong(field, null);
  if (triedWith && !isTried()) {
    forget();
    part("first-word").textContent = "Try the address again, as it has changed.";
    part("outcome").hidden = part("to-areas").hidden = true;
  }
  if (anyway) { anyway = false; part("anyway").hidden = true; }
  keep();
  show(true);
}

// Learning.
function seconds(text) {
  const plain = text.replace(/\s/g, "").toLowerCase();
  if (!/^(\d+(\.\d+)?[dhms])+$/.test(plain)) return null;
  return [...plain.matchAll(/(\d+(?:\.\d+)?)([dhms])/g)].reduce((sum, [, number, unit]) => sum + number * LONG[unit], 0);
}
function inWords(time) {
  if (time < 120) return `${Math.round(time)} seconds`;
  if (time < 5400) return `${Math.round(time / 60)} minutes`;
  if (time < 2 * 86400) return `${Number((time / 3600).toPrecision(2))} hours`;
  return `${Number((time / 86400).toPrecision(2))} days`;
}
function learnTrouble() {
  const time = seconds(part("learn").value), other = part("calibrate").value.trim();
  if (!time) return "Write a length of time such as 30m, 2h or 1d.";
  if (time < 5 || time > 14 * 86400) return "Learn for some minutes, at most for 14 days.";
  if (other && !seconds(other)) return "Write a length of time to calibrate for, such as 10m; or nothing.";
  return null;
}
function showLearn() {
  const time = seconds(part("learn").value), trouble = learnTrouble();
  wrong("learn", trouble);
  const after = seconds(part("calibrate").value) ?? Math.max(120, (time ?? 0) / 3);
  part("learn-line").textContent = trouble ? "" : `Records ${inWords(time)} of the camera, then fits, which takes some minutes, and calibrates on the ${inWords(after)} after that. Only then it raises alarms.`;
  for (const button of document.querySelectorAll("[data-learn]")) button.setAttribute("aria-pressed", String(seconds(button.dataset.learn) === time));
}

// The last step.
function check() {
  const areas = grouped(), counted = [["watch", "to watch"], ["ignore", "to ignore"], ["privacy", "private"]].filter(([key]) => areas[key].length);
  const rate = part("rate").selectedOptions[0].textContent;
  const rows = [
    ["Camera", part("name").value.trim(), "camera"],
    ["Address", part("address").value.trim() + (part("user").value ? ", with user and password" : ""), "camera"],
    ["Tried", isTried() ? "it sends frames" : "no frame yet: it is tried again and again", "camera"],
    ["Areas", counted.map(([key, name]) => `${areas[key].length} ${name}`).join(", ") || "none: all of the frame counts", "areas"],
    ["Learns for", inWords(seconds(part("learn").value)), "learn"],
    ["False alarms", rate, "learn"],
  ];
  part("check").replaceChildren(...rows.flatMap(([name, value, step]) => [
    make("dt", {}, name), make("dd", {}, value), make("dd", {}, make("button", { type: "button", class: "quiet", "aria-label": `Change: ${name}`, onclick: () => go(step) }, "Change"))]));
}
async function start() {
  if (adding) return;
  adding = part("start").disabled = true;
  part("start").textContent = "Starting …";
  part("wrong").hidden = true;
  const settings = part("settings").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const values = { ...what(), name: part("name").value.trim(), areas: grouped(), learn: part("learn").value.trim(), false_alarms_per_hour: Number(part("rate").value), calibrate: part("calibrate").value.trim() || null, settings };
  try {
    const { name } = await send(path("new"), values);
    keep();
    sessionStorage.setItem(KEPT, JSON.stringify({ ...JSON.parse(sessionStorage.getItem(KEPT)), added: name }));
    location.assign(path("cameras", name, "learning"));
  } catch (error) {
    part("wrong").hidden = false;
    part("wrong").textContent = `${error.message[0].toUpperCase()}${error.message.slice(1)}. Nothing that you typed is lost.`;
    adding = part("start").disabled = false;
    part("start").textContent = "Start learning";
  }
}

const draft = kept();
for (const id of FIELDS) if (typeof draft[id] === "string") part(id).value = draft[id];
if (draft.login) part("login-line").textContent = "User and password are not kept: type them again. They are written into the cameras file and shown nowhere.";
open(draft.areas ?? {}, { changed: keep });
if (here() !== "camera" || location.hash) history.replaceState(null, "", "#camera");
part("camera").addEventListener("submit", (event) => { event.preventDefault(); tryIt(); });
part("stop").addEventListener("click", () => asking?.abort());
part("to-areas").addEventListener("click", () => go("areas"));
part("reveal").addEventListener("click", () => {
  const on = part("password").type === "password";
  part("password").type = on ? "text" : "password";
  part("reveal").setAttribute("aria-pressed", String(on));
});
for (const id of ["address", "user", "password", "transport"]) part(id).addEventListener("input", changed);
part("address").addEventListener("paste", () => setTimeout(() => { moveLogin(); changed(); }));
part("name").addEventListener("input", () => { wrong("name", part("name").value.trim() ? nameTrouble() : null); keep(); show(true); });
part("learning").addEventListener("submit", (event) => { event.preventDefault(); go("start"); });
part("learning").addEventListener("input", () => { showLearn(); keep(); });
for (const button of document.querySelectorAll("[data-learn]")) button.addEventListener("click", () => { part("learn").value = button.dataset.learn; showLearn(); keep(); });
for (const one of document.querySelectorAll("[data-to]")) one.addEventListener("click", (event) => { event.preventDefault(); if (!isDrawing()) go(one.dataset.to); else say("Close the area first, or give it up."); });
part("start").addEventListener("click", start);
addEventListener("hashchange", () => show());
addEventListener("beforeunload", (event) => { if (!adding && part("password").value && here() !== "camera") event.preventDefault(); });
showLearn();
show(true);
