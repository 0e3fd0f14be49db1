// Health: asks for the page again every few seconds, and takes over what has changed.
import { attempt, path, say, send } from "./lib/api.js";
import { fetched, morph } from "./lib/morph.js";
import { moment } from "./lib/time.js";

const EVERY = 3000; // milliseconds
const ENOUGH = 120; // seconds of watching the disk, before it is said how long it lasts
const now = document.getElementById("now");
const updated = document.getElementById("updated");
const disk = []; // moments and free bytes of the last minutes
let asking = null;

function address() {
  const form = document.getElementById("filter");
  const asked = form ? new URLSearchParams(new FormData(form)).toString() : "";
  return location.pathname + (asked ? `?${asked}` : "");
}

async function refresh() {
  asking?.abort();
  asking = new AbortController();
  try {
    const fresh = await fetched(address(), "now", { signal: asking.signal });
    if (fresh) morph(now, fresh);
    updated.textContent = `as of ${moment(Date.now())}`;
    updated.classList.remove("bad");
    sayHowLong();
  } catch (error) {
    if (error.name === "AbortError") return;
    updated.textContent = "the console does not answer";
    updated.classList.add("bad");
  }
}

function sayHowLong() {
  const free = Number(document.getElementById("disk")?.dataset.free);
  const lasts = document.getElementById("disk-lasts");
  if (!lasts || !free) return;
  const time = Date.now() / 1000;
  disk.push([time, free]);
  while (disk[0][0] < time - 1800) disk.shift();
  const [since, before] = disk[0];
  const rate = (before - free) / (time - since); // bytes per second
  if (time - since < ENOUGH || rate < 1000) lasts.textContent = "";
  else lasts.textContent = `full in about ${inWords(free / rate)} at the rate of the last minutes`;
}

function inWords(seconds) {
  if (seconds > 2 * 86400) return `${Math.round(seconds / 86400)} days`;
  if (seconds > 2 * 3600) return `${Math.round(seconds / 3600)} hours`;
  return `${Math.max(1, Math.round(seconds / 60))} minutes`;
}

now.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-test], button[data-retry]");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  attempt(async () => {
    const { test, retry } = button.dataset;
    if (test) say(`${test}: ${(await send(path("api", "alerts", test, "test"))).said}`);
    else say(`${retry}: ${(await send(path("api", "alerts", retry, "retry"))).queued} messages are sent again`);
  }).finally(() => {
    button.removeAttribute("aria-disabled");
    refresh();
  });
});
now.addEventListener("input", (event) => {
  if (!event.target.closest("#filter")) return;
  history.replaceState(null, "", address());
  refresh();
});
now.addEventListener("submit", (event) => event.preventDefault());
updated.textContent = `as of ${moment(Date.now())}`;
setInterval(() => document.hidden || refresh(), EVERY);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
