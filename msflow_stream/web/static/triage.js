// Triage: one group of similar events at a time; a key, a button or a swipe judges all of it.
import { get, path } from "./lib/api.js";
import { make } from "./lib/dom.js";
import { Judge, count } from "./lib/judge.js";
import { keys } from "./lib/keys.js";
import { swipes } from "./lib/swipe.js";
import { moment } from "./lib/time.js";

const { groups, may_judge: mayJudge, has_more: hasMore } = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const of = new Map(groups.flatMap((group) => group.members.map((member) => [member.id, group])));
const judged = new Map(); // ids of this visit, to their labels
const out = new Set(); // ids that the next decision leaves out
const WORDS = { violation: "Violation", normal: "Normal", unsure: "Unsure" };
const hour = new Intl.DateTimeFormat(undefined, { hour: "numeric", hourCycle: "h23" });
let here = groups[0] ?? null;

for (const group of groups) group.members.reverse(); // the newest first

const left = (group) => group.members.filter((member) => !judged.has(member.id));
const waiting = () => groups.filter((group) => left(group).length);

const judge = new Judge((events) => {
  for (const said of events) {
    if (!of.has(said.id)) continue;
    if (said.label) judged.set(said.id, said.label);
    else judged.delete(said.id);
  }
  const back = events.find((said) => !said.label && of.has(said.id));
  if (back) here = of.get(back.id);
  show();
});

// --- decisions ---
function decide(label, change = { label }) {
  if (!here || !mayJudge) return;
  const group = here;
  const ids = left(group).map((member) => member.id).filter((id) => !out.has(id));
  if (!ids.length) return;
  ids.forEach((id) => judged.set(id, label)); // at once: the next key is for the next group
  out.clear();
  step(1);
  judge.decide(ids, change).then((number) => {
    if (number !== undefined) return;
    ids.forEach((id) => judged.delete(id));
    here = group;
    show();
  });
}

function step(by) {
  const list = waiting();
  if (!list.length) { here = null; return show(); }
  const place = groups.indexOf(here);
  const further = by > 0 ? list.find((group) => groups.indexOf(group) > place) : list.filter((group) => groups.indexOf(group) < place).at(-1);
  const next = further ?? (by > 0 ? list[0] : list.at(-1));
  if (next !== here) out.clear();
  here = next;
  show();
}

function leaveOut(id) {
  if (out.has(id)) out.delete(id);
  else out.add(id);
  members();
  title();
}

/** Leaves out the event in focus; where none is, the one that is shown large, which has the focus then. */
function outByKey() {
  const { id } = document.activeElement?.dataset ?? {};
  if (id && of.has(id)) return leaveOut(id);
  const list = here ? left(here) : [];
  const shown = list.find((member) => member.id === here.telling) ?? list[0];
  if (!shown) return;
  leaveOut(shown.id);
  at("members").querySelector(`[data-id="${CSS.escape(shown.id)}"]`)?.focus();
}

// --- what is shown ---
let drawn = null;
let began = false;

function show() {
  const list = waiting();
  const number = list.reduce((sum, group) => sum + left(group).length, 0);
  at("bar").value = at("bar").max - number;
  at("progress").textContent = here && list.length
    ? `Group ${groups.indexOf(here) + 1} · ${list.length} of ${count(groups.length, "group")}, ${number} of ${count(of.size)} left`
    : !of.size ? "" : `${count(of.size)} in ${count(groups.length, "group")}: none left`;
  at("group").hidden = !list.length;
  at("done").hidden = list.length > 0;
  if (!list.length) return finish();
  if (!here || !left(here).length) here = list[0];
  if (drawn !== here) {
    drawn = here;
    telling();
    at("open").href = path("events", here.telling);
    at("why").textContent = here.why ?? "";
    if (began) scrollTo({ top: 0 });
    began = true;
  }
  title();
  members();
}

function finish() {
  drawn = null;
  at("telling").replaceChildren();
  if (!of.size) return;
  at("done-title").textContent = "All judged";
  at("done-text").textContent = hasMore ? "These were the newest; older ones wait." : `${count(of.size)} in ${count(groups.length, "group")}. New ones appear here as they come.`;
  if (hasMore && !at("next-batch")) at("done-text").after(make("p", {}, make("a", { class: "button main", id: "next-batch", href: location.href }, "Go on")));
  at("done-title").focus({ preventScroll: true });
}

function title() {
  const members = left(here);
  const chosen = members.filter((member) => !out.has(member.id)).length;
  at("group-title").textContent = `${count(members.length)} at ${here.camera}${chosen < members.length ? ` (${members.length - chosen} left out)` : ""}`;
  at("common").textContent = [here.place, here.direction && `motion ${here.direction}`, !here.direction && here.triggers[0], times(members)].filter(Boolean).join(", ");
}

/** When they happened, in the person's zone: "mostly 7:00-9:00", or the one moment. */
function times(members) {
  if (members.length === 1) return moment(members[0].when);
  const hours = new Array(24).fill(0);
  for (const member of members) hours[Number(hour.format(new Date(member.when)).replace(/\D/g, "")) % 24] += 1;
  for (const width of [1, 2, 3]) {
    for (let from = 0; from < 24; from += 1) {
      let inside = 0;
      for (let k = 0; k < width; k += 1) inside += hours[(from + k) % 24];
      if (inside >= 0.75 * members.length) return `${inside === members.length ? "" : "mostly "}${from}:00–${(from + width) % 24}:00`;
    }
  }
  return "at any hour";
}

function telling() {
  const member = here.members.find((one) => one.id === here.telling);
  const still = member.has_stills ? `${path("events", member.id, "thumb.jpg")}?width=640&v=${member.version}` : null;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let one;
  if (here.overlay && !calm) {
    one = make("video", { muted: true, autoplay: true, loop: true, playsinline: true, poster: still, src: path("events", member.id, "files", here.overlay), "aria-label": "The most telling event of the group, with the overlay" });
    one.muted = true;
    one.addEventListener("error", () => at("telling").replaceChildren(image(still)), { once: true });
  } else one = image(still);
  at("telling").replaceChildren(one);
  one.play?.().catch(() => {});
}

function image(still) {
  return still ? make("img", { src: still, alt: "The most telling event of the group" }) : make("span", { class: "no-shot" }, "no evidence any more");
}

const MOST = 120; // thumbnails at once
function members() {
  const list = left(here);
  const buttons = list.slice(0, MOST).map((member) => {
    const isOut = out.has(member.id);
    return make("li", {}, make("button", {
      type: "button", "data-id": member.id, "aria-pressed": String(isOut), disabled: !mayJudge,
      "aria-label": `${member.severity} event, ${moment(member.when)}: leave out`,
    },
    member.has_stills ? make("img", { src: `${path("events", member.id, "thumb.jpg")}?width=160&v=${member.version}`, alt: "", loading: "lazy", width: 160, height: 90 }) : make("span", { class: "no-shot" }, "no image"),
    make("span", { class: "numbers" }, moment(member.when)), isOut ? make("span", { class: "out" }, "left out") : null));
  });
  const focused = document.activeElement?.dataset?.id;
  at("members").replaceChildren(...buttons, ...(list.length > MOST ? [make("li", { class: "dim" }, `and ${list.length - MOST} more`)] : []));
  if (focused) at("members").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

// --- buttons, keys, swipes ---
at("members").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) leaveOut(button.dataset.id);
});
for (const button of document.querySelectorAll(".judge.big button")) button.addEventListener("click", () => decide(button.dataset.label));
const normalHere = () => decide("normal", { label: "normal", here: true });
at("here")?.addEventListener("click", normalHere);
at("before").addEventListener("click", () => step(-1));
at("after").addEventListener("click", () => step(1));
at("undo")?.addEventListener("click", () => judge.undo());
at("undo-last")?.addEventListener("click", () => judge.undo());
for (const one of document.querySelectorAll("#filter select")) one.addEventListener("change", () => at("filter").requestSubmit());
at("filter").addEventListener("submit", (event) => { for (const one of event.target.querySelectorAll("select")) one.disabled = !one.value; });

if (mayJudge) {
  swipes(at("group"), {
    moved: (share) => {
      const label = share > 0 ? "violation" : "normal";
      at("swiped").hidden = share === 0;
      at("swiped").textContent = WORDS[label];
      at("swiped").className = `swiped label-${label}`;
      at("swiped").style.opacity = Math.min(1, Math.abs(share));
    },
    done: (side) => decide(side > 0 ? "violation" : "normal"),
  });
}

keys([
  ...(mayJudge ? [
    ["x", "The group is a violation", () => decide("violation")],
    ["n", "The group is normal", () => decide("normal")],
    ["h", "Normal here: no alarm of the same at this place", normalHere],
    ["s", "Unsure", () => decide("unsure")],
    ["e", "Leave out, or not, the event in focus; else the one that is shown large", outByKey],
    ["u", "Undo the last decision", () => judge.undo()],
  ] : []),
  ["j", "Next group", () => step(1)],
  ["k", "Group before", () => step(-1)],
  ["o", "Open the most telling event", () => { if (here) at("open").click(); }],
], at("keys"));

show();

// --- new ones, when all are judged ---
setInterval(async () => {
  if (document.hidden || at("done").hidden) return;
  const asked = new URLSearchParams(location.search);
  asked.set("label", "none");
  const { ids } = await get(`${path("events.json")}?${asked}`).catch(() => ({ ids: [] }));
  if (ids.some((id) => !of.has(id))) location.reload();
}, 15_000);
