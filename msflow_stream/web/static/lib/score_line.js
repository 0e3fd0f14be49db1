// The scores around an event, drawn on a canvas: score, threshold, alarms, the event, and where the player is.

const PAD = { left: 38, right: 6, top: 8, bottom: 20 };

export class ScoreLine extends EventTarget {
  /** Draws on a canvas; "pick" is dispatched with {detail: row} when a person picks one. */
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.rows = { time: [], score: [], threshold: [], alarm: [], index: [] };
    new ResizeObserver(() => this.draw()).observe(canvas);
    addEventListener("theme", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    let held = false;
    canvas.addEventListener("pointerdown", (event) => { held = true; canvas.setPointerCapture(event.pointerId); this.pick(event); });
    canvas.addEventListener("pointermove", (event) => { if (held) this.pick(event); });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { held = false; });
  }

  /** Takes the rows, the span of the event, and other times that are to be in view. */
  load(rows, event, others = []) {
    Object.assign(this, { rows, event });
    const times = [event.start, event.end ?? event.start, ...others, ...rows.time.slice(0, 1), ...rows.time.slice(-1)];
    this.from = Math.min(...times);
    this.until = Math.max(...times, this.from + 1);
    const highest = rows.score.concat(rows.threshold).filter((value) => value != null);
    this.top = Math.max(...highest, 0) * 1.08 || 1;
    this.bottom = Math.min(...highest, 0);
    this.draw();
  }

  /** Moves the mark of the player to a time. */
  mark(time) {
    this.now = time;
    this.draw();
  }

  /** The row that belongs to a time: the last one not after it. */
  row(time) {
    let found = -1;
    for (let at = 0; at < this.rows.time.length && this.rows.time[at] <= time + 1e-3; at += 1) found = at;
    return found;
  }

  pick(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = (event.clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right);
    const time = this.from + Math.min(1, Math.max(0, share)) * (this.until - this.from);
    const times = this.rows.time;
    if (!times.length) return;
    let best = 0;
    times.forEach((one, at) => { if (Math.abs(one - time) < Math.abs(times[best] - time)) best = at; });
    this.dispatchEvent(new CustomEvent("pick", { detail: best }));
  }

  draw() {
    const { canvas, rows } = this;
    const ratio = devicePixelRatio || 1;
    const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    if (!wide || !this.event) return;
    if (canvas.width !== Math.round(wide * ratio)) canvas.width = Math.round(wide * ratio);
    if (canvas.height !== Math.round(high * ratio)) canvas.height = Math.round(high * ratio);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, wide, high);
    if (!rows.time.length) {
      g.font = `13px ${style.fontFamily}`;
      g.fillStyle = colour("dim");
      g.textAlign = "center";
      g.fillText("There are no scores of this time.", wide / 2, high / 2);
      return;
    }
    const x = (time) => PAD.left + (time - this.from) / (this.until - this.from) * (wide - PAD.left - PAD.right);
    const y = (value) => high - PAD.bottom - (value - this.bottom) / (this.top - this.bottom) * (high - PAD.top - PAD.bottom);
    const end = this.event.end ?? this.until;
    g.globalAlpha = 0.12;
    g.fillStyle = colour("bad");
    g.fillRect(x(this.event.start), PAD.top, Math.max(2, x(end) - x(this.event.start)), high - PAD.top - PAD.bottom);
    g.globalAlpha = 1;
    this.axes(g, x, y, wide, high, colour("dim"), colour("line"), style.fontFamily);
    line(g, rows.time, rows.threshold, x, y, colour("warn"), [5, 4], 1.5);
    line(g, rows.time, rows.score, x, y, colour("accent"), [], 2);
    alarms(g, rows, x, y, colour("bad"));
    if (this.now != null) {
      g.fillStyle = colour("text");
      g.fillRect(x(Math.min(this.until, Math.max(this.from, this.now))) - 1, PAD.top - 4, 2, high - PAD.top - PAD.bottom + 8);
    }
  }

  axes(g, x, y, wide, high, dim, faint, family) {
    g.font = `11px ${family}`;
    g.fillStyle = dim;
    g.strokeStyle = faint;
    g.lineWidth = 1;
    g.textBaseline = "middle";
    g.textAlign = "right";
    for (const value of ticks(this.bottom, this.top, 3)) {
      g.beginPath(); g.moveTo(PAD.left, y(value)); g.lineTo(wide - PAD.right, y(value)); g.stroke();
      g.fillText(String(+value.toPrecision(3)), PAD.left - 6, y(value));
    }
    g.textAlign = "center";
    g.textBaseline = "alphabetic";
    for (const value of ticks(this.from - this.event.start, this.until - this.event.start, Math.max(2, Math.floor(wide / 110)))) {
      g.fillText(`${value > 0 ? "+" : ""}${+value.toPrecision(3)} s`, Math.min(wide - 22, Math.max(PAD.left + 14, x(value + this.event.start))), high - 5);
    }
    g.textAlign = "left";
  }
}

function line(g, times, values, x, y, colour, dash, width) {
  g.strokeStyle = colour;
  g.lineWidth = width;
  g.setLineDash(dash);
  g.beginPath();
  let before = null;
  times.forEach((time, at) => {
    const value = values[at];
    if (value == null) { before = null; return; }
    if (before === null || time - before > 3) g.moveTo(x(time), y(value)); // a gap stays one
    else g.lineTo(x(time), y(value));
    before = time;
  });
  g.stroke();
  g.setLineDash([]);
}

function alarms(g, rows, x, y, colour) {
  g.fillStyle = colour;
  rows.time.forEach((time, at) => {
    if (!rows.alarm[at] || rows.score[at] == null) return;
    g.beginPath(); g.arc(x(time), y(rows.score[at]), 2.4, 0, 7); g.fill();
  });
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * ([1, 2, 5, 10].find((one) => one * size >= rough) ?? 10);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}
