// The timeline of a camera's scores: drawn with uPlot, said in words, live at its end.
import uPlot from "../vendor/uPlot.js";
import { attempt, get, path } from "./api.js";
import { make } from "./dom.js";
import { odds } from "./live.js";
import { lasting, moment, showTimes } from "./time.js";

const GAP = 3; // seconds without a score, at least, that make a gap
const MOST = 12000; // points; more are read again with fewer
const LISTED = 24; // events
const LEAST_ODDS = 1e-9;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayOf = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const figure = (value) => (value == null ? "–" : Number(value.toPrecision(3)).toString());
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Timeline {
  constructor(camera) {
    this.camera = camera;
    this.place = document.getElementById("chart");
    this.span = Number(localStorage.getItem("timeline span")) || 3600;
    this.zoom = null;
    this.withOdds = localStorage.getItem("timeline odds") === "true";
    this.steps = []; // seconds between the last frames
    this.ahead = 0; // seconds that the server's clock is ahead of this one
    this.clear();
    this.controls();
    this.load();
    this.ticking = setInterval(() => this.tick(), 1000);
  }

  clear() {
    this.data = [[], [], [], []]; // time, score, threshold, probability
    this.alarms = []; this.gaps = []; this.events = [];
  }

  /** The server's time, which the browser's clock may miss. */
  get now() { return Date.now() / 1000 + this.ahead; }

  get range() {
    return this.zoom ?? [this.now - this.span, this.now];
  }

  // ---- what is shown

  async load() {
    const [since, until] = this.range;
    this.loading?.abort();
    const loading = this.loading = new AbortController();
    this.buttons();
    this.wait("Scores are read …");
    await attempt(async () => {
      const points = Math.max(400, Math.min(4000, 2 * this.place.clientWidth));
      const found = await get(`${this.address}?since=${since}&until=${until}&points=${points}`, { signal: loading.signal });
      this.data = [found.t, found.score, found.threshold, found.probability.map(shown)];
      this.alarms = found.alarm; this.gaps = found.gaps; this.events = found.events;
      this.until = found.until;
      const ahead = found.now - Date.now() / 1000, wrong = Math.abs(ahead - this.ahead) > 10;
      this.ahead = Math.abs(ahead) > 2 ? ahead : 0;
      if (wrong && !this.zoom) setTimeout(() => this.load());
      this.draw();
      this.say();
    });
    if (this.loading === loading) { this.loading = null; this.wait(this.data[0].length ? "" : "No scores in this time."); }
  }

  get address() { return path("cameras", this.camera, "history"); }

  wait(text) {
    this.waiting ??= this.place.appendChild(make("p", { class: "wait" }));
    this.waiting.textContent = text;
  }

  /** Takes the facts of a frame that has just come. */
  add(facts) {
    const time = facts.wall ? Date.parse(facts.wall) / 1000 : this.now, t = this.data[0];
    if (this.zoom || this.loading || this.catching || !(time > (t.at(-1) ?? 0))) return;
    const last = t.at(-1) ?? this.until ?? 0;
    if (time - last > this.longest) { this.catchUp(facts, time); return; }
    if (this.steps.length > 20) this.steps.shift();
    this.steps.push(time - last);
    this.append(facts, time);
    if (t.length > MOST) this.load();
  }

  /** Seconds without a score that are no gap: as in what is recorded. */
  get longest() {
    const sorted = [...this.steps].sort((a, b) => a - b);
    return Math.max(GAP, 3 * (sorted[sorted.length >> 1] ?? 0));
  }

  append(facts, time) {
    [time, facts.smoothed, facts.threshold, shown(facts.probability)].forEach((value, at) => this.data[at].push(value));
    if (!facts.alarm) return;
    const run = this.alarms.at(-1);
    if (run && time - run[1] <= this.longest) run[1] = time; else this.alarms.push([time, time]);
  }

  /** Reads what was recorded while nothing came here: the page slept, or there was nothing. */
  async catchUp(facts, time) {
    this.catching = true;
    try {
      const last = this.data[0].at(-1) ?? this.range[0];
      const found = await get(`${this.address}?since=${last + 0.001}&until=${this.now}&points=1000`);
      if (this.zoom || this.loading) return;
      const begins = found.t[0] ?? time;
      if (begins - last > this.longest && this.data[0].length) this.lack(last, begins);
      [found.t, found.score, found.threshold, found.probability.map(shown)].forEach((values, at) => this.data[at].push(...values));
      this.alarms.push(...found.alarm);
      this.gaps.push(...found.gaps);
      const known = new Set(this.events.map((one) => one.id));
      this.events.unshift(...found.events.filter((one) => !known.has(one.id)));
      const ends = this.data[0].at(-1) ?? 0;
      if (time > ends) {
        if (found.t.length && time - ends > this.longest) this.lack(ends, time);
        this.append(facts, time);
      }
      this.say();
    } catch (error) {
      console.warn(error); // the next frame tries again
    } finally {
      setTimeout(() => { this.catching = false; }, 1000);
    }
  }

  lack(from, to) {
    this.gaps.push([from, to]);
    [(from + to) / 2, null, null, null].forEach((value, at) => this.data[at].push(value));
  }

  addEvent(event) {
    const start = Date.parse(event.time) / 1000;
    if (this.zoom || this.events.some((one) => one.id === event.id) || start < this.range[0]) return;
    this.events.unshift({ id: event.id, start, end: null, severity: event.severity, label: null });
    this.say();
  }

  tick() {
    if (this.zoom || this.loading || document.hidden || !this.chart) return;
    const [from] = this.range, t = this.data[0];
    let old = 0;
    while (old < t.length && t[old] < from - 60) old += 1;
    if (old > 200) this.data.forEach((values) => values.splice(0, old));
    if (t.length) this.wait("");
    this.chart.setData(this.data, false);
    const [a, b] = this.range;
    this.chart.setScale("x", { min: a, max: b });
    this.ticks = (this.ticks ?? 0) + 1;
    if (this.ticks % 15 === 0) this.say();
  }

  // ---- the drawing

  draw() {
    const keep = this.chart?.cursor.left;
    this.chart?.destroy();
    const { clientWidth: width, clientHeight: height } = this.place;
    this.chart = new uPlot(this.options(width, height), this.data, this.place);
    if (keep > 0) this.chart.setCursor({ left: keep, top: 10 });
  }

  options(width, height) {
    const text = colour("--dim"), line = colour("--line");
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    return {
      width, height, legend: { show: false }, padding: [10, 20, 0, 0],
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 }, y: false },
      scales: {
        x: { time: true, range: () => this.range },
        y: { range: (u, low, high) => this.values(low, high) },
        p: { distr: 3, log: 10, dir: -1, range: (u, low) => [Math.max(LEAST_ODDS, Math.min(low ?? 1, 1e-3)), 1] },
      },
      axes: [
        { ...axis, values: (u, splits, at, space, step) => splits.map((one) => tickText(one, step)), space: 70, size: 34 },
        { ...axis, size: 52, show: !this.withOdds },
        { ...axis, scale: "p", show: this.withOdds, size: 74, values: (u, splits) => splits.map((one) => (one == null ? "" : one >= 1 ? "always" : `1 in ${short(1 / one)}`)) },
      ],
      series: [
        {},
        { label: "score", stroke: colour("--accent"), width: 1.5, show: !this.withOdds, points: { show: false } },
        { label: "threshold", stroke: colour("--text"), width: 1.5, dash: [6, 4], paths: uPlot.paths.stepped({ align: 1 }), show: !this.withOdds, points: { show: false } },
        { label: "probability", scale: "p", stroke: colour("--accent"), width: 1.5, show: this.withOdds, points: { show: false } },
      ],
      hooks: {
        drawClear: [(u) => this.bands(u)],
        draw: [(u) => this.marks(u)],
        setCursor: [(u) => this.read(u)],
        setSelect: [(u) => { if (u.select.width > 6) this.closer(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); }],
        ready: [(u) => {
          u.over.addEventListener("click", (event) => this.open(u.posToVal(event.offsetX, "x")));
          u.over.addEventListener("mousemove", (event) => { u.over.style.cursor = this.eventAt(u.posToVal(event.offsetX, "x")) ? "pointer" : ""; });
        }],
      },
    };
  }

  /** Range of the axis of scores: all of them, and the threshold. */
  values(low, high) {
    const known = this.data[2].filter((one) => one != null);
    const top = Math.max(high ?? 1, known.at(-1) ?? -Infinity), bottom = Math.min(low ?? 0, known.at(-1) ?? Infinity);
    const room = 0.08 * (top - bottom || 1);
    return [bottom - room, top + room];
  }

  /** Alarms and gaps, behind the lines. */
  bands(u) {
    const { ctx } = u, { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.beginPath(); ctx.rect(left, top, width, height); ctx.clip();
    const at = (time) => u.valToPos(time, "x", true);
    ctx.globalAlpha = 0.3; ctx.fillStyle = colour("--bad");
    for (const [from, to] of this.alarms) ctx.fillRect(at(from) - 1, top, Math.max(3, at(to) - at(from) + 2), height);
    ctx.globalAlpha = 0.14; ctx.fillStyle = ctx.strokeStyle = colour("--dim");
    for (const [from, to] of this.lacking()) {
      ctx.globalAlpha = 0.14; ctx.fillRect(at(from), top, at(to) - at(from), height);
      ctx.globalAlpha = 0.6; ctx.setLineDash([4, 4]);
      ctx.strokeRect(at(from), top - 2, at(to) - at(from), height + 4);
    }
    ctx.restore();
  }

  /** Gaps, with what is before the first score and after the last one. */
  lacking() {
    const [from, until] = this.range, t = this.data[0];
    if (!t.length) return [[from, until]];
    const ends = [];
    if (t[0] - from > Math.max(60, this.span / 200)) ends.push([from, t[0]]);
    if (until - t.at(-1) > Math.max(10, this.span / 200)) ends.push([t.at(-1), until]);
    return [...this.gaps, ...ends];
  }

  /** Events, as marks at the top. */
  marks(u) {
    const { ctx } = u, { left, top, width } = u.bbox, size = 6 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = colour("--bad");
    for (const event of this.events) {
      const x = u.valToPos(event.start, "x", true);
      if (x < left || x > left + width) continue;
      ctx.beginPath(); ctx.moveTo(x - size, top - 2); ctx.lineTo(x + size, top - 2); ctx.lineTo(x, top + 1.6 * size); ctx.fill();
    }
    ctx.restore();
  }

  /** Says what is at the cursor. */
  read(u) {
    const at = u.cursor.idx;
    const readout = document.getElementById("readout");
    if (at == null || u.cursor.left < 0) { readout.textContent = ""; return; }
    const [t, score, threshold, probability] = this.data;
    const event = this.eventAt(t[at]);
    const words = score[at] == null ? ["no scores"] : [`score ${figure(score[at])}`, `threshold ${figure(threshold[at])}`, odds(probability[at])];
    if (this.alarms.some(([from, to]) => from <= t[at] && t[at] <= to)) words.push("alarm");
    if (event) words.push("Enter or a click opens the event");
    readout.textContent = [moment(t[at] * 1000), ...words].filter(Boolean).join(" · ");
  }

  // ---- what a person does

  eventAt(time) {
    const [from, until] = this.range, reach = (8 * (until - from)) / (this.place.clientWidth || 800);
    const near = this.events.filter((one) => time >= one.start - reach && time <= (one.end ?? one.start) + reach);
    return near.sort((a, b) => Math.abs(a.start - time) - Math.abs(b.start - time))[0];
  }

  open(time) {
    const event = this.eventAt(time);
    if (event) location.assign(path("events", event.id));
  }

  closer(from, to) {
    if (to - from < 2) return;
    this.zoom = [from, to];
    this.load();
  }

  back() {
    if (document.activeElement?.id === "back") this.place.focus(); // the button goes
    this.zoom = null;
    this.load();
  }

  controls() {
    for (const button of document.querySelectorAll("[data-span]")) button.addEventListener("click", () => {
      this.span = Number(button.dataset.span); this.zoom = null;
      localStorage.setItem("timeline span", this.span);
      this.load();
    });
    document.getElementById("back").addEventListener("click", () => this.back());
    document.getElementById("odds").addEventListener("click", () => {
      this.withOdds = !this.withOdds;
      localStorage.setItem("timeline odds", this.withOdds);
      this.buttons(); this.draw();
    });
    this.place.addEventListener("keydown", (event) => this.key(event));
    this.place.addEventListener("dblclick", () => this.zoom && this.back());
    const redraw = () => this.chart && this.draw();
    addEventListener("theme", redraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new ResizeObserver(() => this.chart?.setSize({ width: this.place.clientWidth, height: this.place.clientHeight })).observe(this.place);
  }

  buttons() {
    for (const button of document.querySelectorAll("[data-span]")) button.setAttribute("aria-pressed", String(!this.zoom && Number(button.dataset.span) === this.span));
    document.getElementById("odds").setAttribute("aria-pressed", String(this.withOdds));
    document.getElementById("l-probability").hidden = !this.withOdds;
    for (const one of document.querySelectorAll(".l-score")) one.hidden = this.withOdds;
    document.getElementById("back").hidden = !this.zoom;
  }

  key(event) {
    const u = this.chart, t = this.data[0];
    if (!u || !t.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = u.cursor.idx ?? t.length - 1, step = Math.max(1, Math.round(t.length / (event.shiftKey ? 20 : 200)));
    const go = (to) => { const i = Math.max(0, Math.min(t.length - 1, to)); u.setCursor({ left: Math.max(0, u.valToPos(t[i], "x")), top: 10 }); };
    const [from, until] = this.range;
    const done = {
      ArrowLeft: () => go(at - step), ArrowRight: () => go(at + step), Home: () => go(0), End: () => go(t.length - 1),
      Enter: () => this.open(t[at]), Escape: () => this.zoom && this.back(),
      "+": () => this.closer(t[at] - (until - from) / 8, t[at] + (until - from) / 8), "-": () => this.zoom && this.back(),
    }[event.key];
    if (!done) return;
    event.preventDefault();
    done();
  }

  // ---- the same in words

  say() {
    const [from, until] = this.range, [t, score] = this.data;
    const events = this.events.filter((one) => one.start >= from && one.start <= until);
    const lost = this.lacking().reduce((sum, [a, b]) => sum + b - a, 0);
    let best = -1;
    score.forEach((value, at) => { if (value != null && (best < 0 || value > score[best])) best = at; });
    const when = this.zoom ? `from ${moment(from * 1000)} to ${moment(until * 1000)}` : `in the last ${document.querySelector(`[data-span="${this.span}"]`).textContent}`;
    const parts = [`${events.length || "No"} event${events.length === 1 ? "" : "s"} ${when}`];
    if (best >= 0) parts.push(`the highest score was ${figure(score[best])} at ${moment(t[best] * 1000)}`);
    if (lost > 1) parts.push(`there are no scores for ${lasting(lost)} of it`);
    document.getElementById("summary").textContent = `${parts.join("; ")}.`;
    const list = document.getElementById("found"), key = JSON.stringify(events);
    if (list.dataset.key === key) return; // so that nobody loses their place in it
    list.dataset.key = key;
    list.replaceChildren(...events.slice(0, LISTED).map((one) => {
      const words = `, ${one.severity}${one.label ? `, judged ${one.label}` : ""}`;
      return make("li", {}, make("a", { href: path("events", one.id) }, make("time", { datetime: new Date(one.start * 1000).toISOString() }), words));
    }));
    if (events.length > LISTED) list.append(make("li", {}, `and ${events.length - LISTED} more`));
    showTimes(list);
  }
}

function shown(probability) { return probability == null ? null : Math.max(LEAST_ODDS, probability); }

function short(value) {
  if (value < 1000) return String(Math.round(value));
  return value < 1e6 ? `${Math.round(value / 1e3)} k` : `${Math.round(value / 1e6)} M`;
}

/** Text of a tick of the axis of times: the day where one begins. */
function tickText(time, step) {
  const date = new Date(time * 1000);
  if (date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0) return dayOf.format(date);
  return (step < 60 ? seconds : clock).format(date);
}
