// The list of events: more as one scrolls, new ones when there are, judged by buttons and keys.
import { get, path } from "./lib/api.js";
import { make } from "./lib/dom.js";
import { Judge } from "./lib/judge.js";
import { keys } from "./lib/keys.js";
import { showTimes } from "./lib/time.js";

const EVERY = 10_000; // ms between two looks for new events
const list = document.getElementById("list");
const mayJudge = list.dataset.judge === "yes";
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", year: "numeric", month: "long", day: "numeric" });
let current = null;

const all = () => [...list.querySelectorAll("article")];
const article = (id) => list.querySelector(`article[data-id="${CSS.escape(id)}"]`);

// --- days, in the person's zone ---
function headings() {
  list.querySelectorAll(":scope > h2").forEach((one) => one.remove());
  let last = null;
  for (const one of all()) {
    const text = day.format(new Date(one.dataset.when));
    if (text !== last) one.before(make("h2", {}, text));
    last = text;
  }
}

// --- judging ---
const judge = new Judge((events) => events.forEach(show));

function show(said) {
  const one = article(said.id);
  if (!one) return;
  one.dataset.label = said.label ?? "";
  one.toggleAttribute("data-kept", said.kept);
  one.querySelector(".said").replaceChildren(
    ...(said.label ? [make("span", { class: `badge label-${said.label}` }, said.label)] : []),
    ...(said.kept ? [make("span", { class: "badge" }, "★ kept")] : []),
  );
  for (const button of one.querySelectorAll(".judge button")) {
    const on = button.dataset.label ? button.dataset.label === said.label : said.kept;
    button.setAttribute("aria-pressed", String(on));
  }
}

list.addEventListener("click", (event) => {
  const button = event.target.closest(".judge button");
  if (!button) return;
  const one = button.closest("article");
  select(one, false);
  if (button.dataset.label) label(one, button.dataset.label);
  else keep(one);
});

function label(one, value) {
  if (one && mayJudge) judge.decide([one.dataset.id], { label: one.dataset.label === value ? null : value });
}

function keep(one) {
  if (one && mayJudge) judge.decide([one.dataset.id], { kept: !one.hasAttribute("data-kept") });
}

// --- keys ---
function select(one, focus = true) {
  current?.classList.remove("current");
  current = one;
  current.classList.add("current");
  if (focus) {
    current.querySelector("a").focus({ preventScroll: true });
    current.scrollIntoView({ block: "nearest" });
  }
}

async function move(step) {
  const ones = all();
  const at = current ? ones.indexOf(current) : step > 0 ? -1 : ones.length;
  if (step > 0 && at + 1 >= ones.length) await more();
  const next = all()[at + step];
  if (next) select(next);
}

list.addEventListener("focusin", (event) => {
  const one = event.target.closest("article");
  if (one && one !== current) select(one, false);
});

const judging = [
  ["x", "Violation", () => label(current, "violation")],
  ["n", "Normal", () => label(current, "normal")],
  ["s", "Unsure", () => label(current, "unsure")],
  ["e", "Keep the evidence, or not", () => keep(current)],
  ["u", "Undo the last decision", () => judge.undo()],
];
keys([
  ["j", "Next event", () => move(1)],
  ["k", "Event before", () => move(-1)],
  ["Enter", "Open the event", () => current?.querySelector("a").click()],
  ...(mayJudge ? judging : []),
], document.getElementById("keys"));

// --- more ---
let loading = null;
function more() {
  const link = document.getElementById("more");
  if (!link) return Promise.resolve();
  loading ??= load(link).catch(() => {}).finally(() => { loading = null; });
  return loading;
}

async function load(link) {
  const next = await pageAt(link.href);
  for (const one of next.querySelectorAll("#list > article")) if (!article(one.dataset.id)) list.append(document.adoptNode(one));
  document.querySelector(".more").replaceWith(document.adoptNode(next.querySelector(".more")));
  showTimes(list);
  headings();
  watch();
}

async function pageAt(url) {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(answer.statusText);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

const seen = new IntersectionObserver((entries) => { if (entries.some((one) => one.isIntersecting)) more(); }, { rootMargin: "900px" });
function watch() {
  const link = document.getElementById("more");
  if (link) {
    seen.observe(link);
    link.addEventListener("click", (event) => { event.preventDefault(); more(); });
  }
}

// --- newer ---
const newer = document.getElementById("newer");
let newest = all()[0]?.dataset.id;

async function look() {
  if (document.hidden) return;
  const { ids } = await get(path("events.json") + list.dataset.query).catch(() => ({ ids: [] }));
  const at = newest === undefined ? ids.length : ids.indexOf(newest);
  const fresh = at < 0 ? ids.filter((id) => !article(id)).length : at;
  newer.hidden = fresh === 0;
  if (fresh) newer.textContent = `${fresh} new event${fresh === 1 ? "" : "s"}`;
  if (list.querySelector(".going")) await renew();
}

/** Shows how events that were going on are now. */
async function renew() {
  const page = await pageAt(path("events") + list.dataset.query).catch(() => null);
  for (const one of page ? all().filter((event) => event.querySelector(".going")) : []) {
    const now = page.querySelector(`#list > article[data-id="${CSS.escape(one.dataset.id)}"]`);
    if (!now || one.contains(document.activeElement)) continue;
    one.replaceWith(document.adoptNode(now));
    if (one === current) select(now, false);
  }
  showTimes(list);
}

newer.addEventListener("click", async () => {
  const page = await pageAt(path("events") + list.dataset.query).catch(() => null);
  if (!page) return;
  const fresh = [...page.querySelectorAll("#list > article")];
  if (!fresh.some((one) => article(one.dataset.id)) && newest !== undefined) return location.reload(); // too many
  list.querySelector(".empty")?.remove();
  list.prepend(...fresh.filter((one) => !article(one.dataset.id)).map((one) => document.adoptNode(one)));
  newest = all()[0]?.dataset.id;
  newer.hidden = true;
  showTimes(list);
  headings();
  scrollTo({ top: 0 });
  if (all()[0]) select(all()[0]);
});

// --- the filter: moments in the person's zone here, in UTC in the address ---
const form = document.getElementById("filter");
const two = (number) => String(number).padStart(2, "0");
for (const field of form.querySelectorAll("[data-utc]")) {
  const moment = new Date(field.dataset.value);
  if (field.dataset.value && !Number.isNaN(moment.getTime())) {
    field.value = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}T${two(moment.getHours())}:${two(moment.getMinutes())}`;
  }
}
function showFiltered() {
  const asked = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value.trim()) asked.set(name, value.trim());
  for (const field of form.querySelectorAll("[data-utc]")) if (field.value) asked.set(field.dataset.utc, new Date(field.value).toISOString());
  if (asked.has("from")) asked.delete("span");
  location.assign(path("events") + (asked.size ? `?${asked}` : ""));
}
form.addEventListener("submit", (event) => { event.preventDefault(); showFiltered(); });
form.addEventListener("change", (event) => {
  if (event.target.name === "span" && event.target.value) document.getElementById("f-from").value = "";
  if (event.target.matches("select, [type=checkbox]")) showFiltered();
});

if (form.elements.length && list.dataset.query && matchMedia("(min-width: 900px)").matches) document.getElementById("filters").open = true;
// --- back from an event: the list as far as it, which is marked ---
const OPENED = "opened";
list.addEventListener("click", (event) => {
  const link = event.target.closest("a.shot");
  if (link) sessionStorage.setItem(OPENED, link.closest("article").dataset.id);
});

async function goBack() {
  const isBack = performance.getEntriesByType("navigation")[0]?.type === "back_forward";
  const id = location.hash ? decodeURIComponent(location.hash.slice(1)) : isBack ? sessionStorage.getItem(OPENED) : null;
  for (let pages = 0; id && pages < 10 && !article(id) && document.getElementById("more"); pages += 1) await more();
  if (id && article(id)) select(article(id));
}

headings();
watch();
goBack();
if ("live" in list.dataset) setInterval(look, EVERY);
