// The chart of a dial: the scores of a span, and the thresholds and alarms of the position that is turned to.
import uPlot from "../vendor/uPlot.js";
import { moment } from "./time.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayOf = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export class DialChart {
  constructor(place) {
    this.place = place;
    this.kind = null;
    const again = () => this.facts && this.draw();
    addEventListener("theme", again);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    new ResizeObserver(() => this.chart?.setSize({ width: place.clientWidth, height: place.clientHeight })).observe(place);
  }

  /** Takes what was recorded. */
  load(facts) {
    this.facts = facts;
    this.kind ??= facts.kinds[0];
    this.position = facts.today;
    this.draw();
  }

  /** Shows another position: only what depends on it is drawn anew, the lines stay. */
  turn(position) {
    this.position = position;
    this.chart?.redraw(false, false);
  }

  draw() {
    this.chart?.destroy();
    this.colours = Object.fromEntries(["--accent", "--text", "--dim", "--line", "--bad", "--good", "--warn"].map((name) => [name, colour(name)]));
    const curve = this.facts.curves[this.kind] ?? { t: [], v: [] };
    this.chart = new uPlot(this.options(), [curve.t, curve.v], this.place);
  }

  options() {
    const { clientWidth: width, clientHeight: height } = this.place;
    const axis = { stroke: this.colours["--dim"], grid: { stroke: this.colours["--line"], width: 1 }, ticks: { stroke: this.colours["--line"], width: 1 }, font: "12px system-ui, sans-serif" };
    return {
      width, height, legend: { show: false }, padding: [16, 22, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { time: true, range: (u, low, high) => this.range(low, high) }, y: { range: (u, low, high) => this.values(low, high) } },
      axes: [{ ...axis, space: 70, values: (u, splits, at, space, step) => splits.map((one) => tick(one, step)) }, { ...axis, size: 56 }],
      series: [{}, { stroke: this.colours["--accent"], width: 1.4, points: { show: false } }],
      hooks: { drawClear: [(u) => this.bands(u)], draw: [(u) => this.lines(u)] },
    };
  }

  range(low, high) {
    const [since, until] = this.facts.span, t = this.chart?.data[0] ?? [];
    const whole = low == null || low <= (t[0] ?? since) && high >= (t.at(-1) ?? until);
    return whole ? [since, until] : [low, high];
  }

  /** Range of the axis: all scores, and the thresholds of all positions. */
  values(low, high) {
    const known = [this.facts.today, ...this.facts.positions].map((one) => one.thresholds[this.kind]).filter(Number.isFinite);
    const top = Math.max(high ?? 1, ...known), bottom = Math.min(low ?? 0, ...known), room = 0.05 * (top - bottom || 1);
    return [bottom - room, top + room];
  }

  /** Alarms and gaps, behind the scores: with a sign at the top each, as colours alone tell too little. */
  bands(u) {
    const { ctx } = u, { left, top, width, height } = u.bbox, ratio = devicePixelRatio || 1;
    const at = (time) => u.valToPos(time, "x", true);
    const { today, gaps } = this.facts, it = this.position;
    ctx.save();
    ctx.beginPath(); ctx.rect(left, top - 14 * ratio, width, height + 14 * ratio); ctx.clip();
    ctx.globalAlpha = 0.14; ctx.fillStyle = this.colours["--dim"];
    for (const [from, to] of gaps) ctx.fillRect(at(from), top, at(to) - at(from), height);
    const gone = it.rate == null ? [] : it.gone.map((number) => today.alarms[number]);
    for (const [alarms, name, sign, strength] of [[gone, "--dim", "×", 0.28], [it.alarms.filter((one) => !one.new || it.rate == null), "--bad", "▼", 0.4], [it.alarms.filter((one) => one.new && it.rate != null), "--good", "+", 0.5]]) {
      ctx.fillStyle = this.colours[name];
      ctx.font = `bold ${11 * ratio}px system-ui, sans-serif`; ctx.textAlign = "center"; ctx.textBaseline = "bottom";
      for (const one of alarms) {
        const from = at(one.start), wide = Math.max(2 * ratio, at(one.end) - from);
        ctx.globalAlpha = strength; ctx.fillRect(from, top, wide, height);
        ctx.globalAlpha = 1; ctx.fillText(sign, from + wide / 2, top);
      }
    }
    ctx.restore();
  }

  /** The thresholds, before the scores. */
  lines(u) {
    const { ctx } = u, { left, width } = u.bbox, ratio = devicePixelRatio || 1;
    const { today } = this.facts, it = this.position;
    const line = (threshold, name, dash) => {
      if (!Number.isFinite(threshold)) return;
      const y = u.valToPos(threshold, "y", true);
      ctx.strokeStyle = this.colours[name]; ctx.setLineDash(dash.map((one) => one * ratio)); ctx.lineWidth = 1.6 * ratio;
      ctx.beginPath(); ctx.moveTo(left, y); ctx.lineTo(left + width, y); ctx.stroke();
    };
    ctx.save();
    if (it.rate != null) line(today.thresholds[this.kind], "--dim", [2, 4]);
    line(it.thresholds[this.kind], "--text", [7, 4]);
    ctx.restore();
  }
}

function tick(seconds, step) {
  const date = new Date(seconds * 1000);
  if (step >= 86400 || (date.getHours() === 0 && date.getMinutes() === 0)) return dayOf.format(date);
  return step < 60 ? moment(date).slice(-8) : clock.format(date);
}
