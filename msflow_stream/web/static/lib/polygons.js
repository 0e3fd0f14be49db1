// Polygons of shares of a frame, from 0 to 1: their size, their names, and what they were before.

export const KINDS = { ignore: "area to ignore", watch: "area to watch", privacy: "private area" };

/** A share between 0 and 1, with the digits that are written. */
export const share = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1e4) / 1e4;

/** Text of a share: 12 %. */
export const percent = (value) => `${Math.round(value * 100)} %`;

/** Share of the frame inside a polygon, where it crosses itself by the even-odd rule. */
export function sizeOf(points) {
  const steps = 96;
  let inside = 0;
  for (let row = 0; row < steps; row++) {
    const y = (row + 0.5) / steps;
    const crossings = [];
    points.forEach(([x0, y0], i) => {
      const [x1, y1] = points[(i + 1) % points.length];
      if ((y0 <= y) !== (y1 <= y)) crossings.push(x0 + ((y - y0) / (y1 - y0)) * (x1 - x0));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) inside += crossings[i + 1] - crossings[i];
  }
  return inside / steps;
}

/** The middle of a polygon's corners. */
export function middleOf(points) {
  return [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
}

/** A polygon moved by a part of the frame, and no farther than its edge. */
export function moved(points, right, down) {
  const within = (axis, by) => {
    const values = points.map((point) => point[axis]);
    return Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), by));
  };
  const [x, y] = [within(0, right), within(1, down)];
  return points.map((point) => [share(point[0] + x), share(point[1] + y)]);
}

/** What was done, with a way back and forth. */
export class Past {
  constructor(now) { this.all = [JSON.stringify(now)]; this.at = 0; }
  get now() { return JSON.parse(this.all[this.at]); }
  get canUndo() { return this.at > 0; }
  get canRedo() { return this.at + 1 < this.all.length; }
  add(now) {
    const text = JSON.stringify(now);
    if (text === this.all[this.at]) return false;
    this.all = [...this.all.slice(0, this.at + 1), text].slice(-200);
    this.at = this.all.length - 1;
    return true;
  }
  undo() { this.at = Math.max(0, this.at - 1); return this.now; }
  redo() { this.at = Math.min(this.all.length - 1, this.at + 1); return this.now; }
}
