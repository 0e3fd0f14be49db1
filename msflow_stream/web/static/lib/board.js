// Areas drawn on a frame with mouse, touch or keyboard; its elements are those of the template board.html.j2.
import { make } from "./dom.js";
import { KINDS, middleOf, moved, Past, percent, share, sizeOf } from "./polygons.js";

const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.01, FAR = 5, WIDE = 1000; // a key's step, times with Shift; units of the drawing to the frame's width
const HELP = {
  ignore: "What happens there raises no alarm.",
  watch: "Only what happens there counts; all of the frame where there is none.",
  privacy: "Black in all recordings, clips and images from now on. It is still scored: ignore it, too, if it should not count. What was recorded before stays.",
};
const part = (id) => document.getElementById(id);
const svg = part("drawing"), stage = part("stage"), image = part("frame");

let areas = [], past = new Past(areas), selected = null, corner = null, sketch = null, pointer = null, drag = null;
let height = (WIDE * 9) / 16, tell = { changed() {}, shown() {} };

/** Draws these areas from now on; `changed` is told of every change, `shown` of everything that is shown anew. */
export function open(given, { changed = () => {}, shown = () => {} } = {}) {
  tell = { changed, shown };
  load(given);
}
/** Takes areas, {watch, ignore, privacy}, as they are; what was before is forgotten. */
export function load(given) {
  areas = listed(given);
  past = new Past(areas);
  selected = corner = sketch = pointer = null;
  show();
}
/** Changes all areas at once; this can be undone. */
export function replace(given) { areas = listed(given); selected = corner = null; commit(); }
/** Whether an area is being drawn. */
export function isDrawing() { return sketch != null; }

function listed(given) { return Object.keys(KINDS).flatMap((kind) => (given[kind] ?? []).map((points) => ({ kind, points }))); }
/** The areas as they are now, by kind. */
export function grouped() {
  return Object.fromEntries(["watch", "ignore", "privacy"].map((kind) => [kind, areas.filter((one) => one.kind === kind).map((one) => one.points)]));
}
const shortName = (index) => nameOf(index).replace(/area to |area /, "").replace(/^./, (letter) => letter.toUpperCase());
function nameOf(index) {
  const { kind } = areas[index];
  return `${KINDS[kind]} ${areas.slice(0, index + 1).filter((one) => one.kind === kind).length}`;
}
function cornerName(index, number) {
  const [x, y] = areas[index].points[number];
  return `${nameOf(index)}, corner ${number + 1} of ${areas[index].points.length}, at ${percent(x)} ${percent(y)}`;
}
export function speak(text) { part("spoken").textContent = text; }

// Drawing. Elements are made anew with every change; what has the focus keeps it by its key.
function shape(name, attributes = {}, ...children) {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) if (value != null) one.setAttribute(key, value);
  one.append(...children);
  return one;
}
const placed = (points) => points.map(([x, y]) => `${x * WIDE},${y * height}`).join(" ");
const unit = () => WIDE / (svg.clientWidth || WIDE); // of the drawing, to a pixel of the screen

function draw() {
  const focused = svg.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${height}`);
  const sizes = areas.map((one) => sizeOf(one.points)); // the largest lies at the bottom, or nobody could take hold of the others
  const order = areas.map((_, index) => index).sort((a, b) => sizes[b] - sizes[a]);
  svg.replaceChildren(patterns(), ...outside(), ...order.map(areaShape), ...(selected == null || sketch ? [] : handles()), ...sketchShape());
  if (focused) svg.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
}

function patterns() {
  const u = unit();
  const sized = (id, size, ...inside) => shape("pattern", { id, width: size * u, height: size * u, patternUnits: "userSpaceOnUse" }, ...inside);
  const hatch = sized("hatch", 11, shape("rect", { width: 11 * u, height: 11 * u, fill: "#b3261e", "fill-opacity": 0.16 }), shape("path", { d: `M0 0V${11 * u}`, stroke: "#ffb4ab", "stroke-width": 5 * u, "stroke-opacity": 0.75 }));
  hatch.setAttribute("patternTransform", "rotate(45)");
  const dots = sized("dots", 14, shape("circle", { cx: 7 * u, cy: 7 * u, r: 2 * u, fill: "#7be0a4", "fill-opacity": 0.9 }));
  return shape("defs", {}, hatch, dots);
}

function outside() {
  const watched = areas.filter((one) => one.kind === "watch");
  if (!watched.length) return [];
  const mask = shape("mask", { id: "outside" }, shape("rect", { width: WIDE, height, fill: "#fff" }),
    ...watched.map((one) => shape("polygon", { points: placed(one.points), fill: "#000", "fill-rule": "evenodd" })));
  return [mask, shape("rect", { class: "outside", width: WIDE, height, mask: "url(#outside)" })];
}

function areaShape(index) {
  const { kind, points } = areas[index], [x, y] = middleOf(points), is = index === selected;
  const label = shape("text", { x: x * WIDE, y: y * height });
  label.textContent = shortName(index);
  label.style.fontSize = `${15 * unit()}px`;
  label.style.strokeWidth = `${4 * unit()}px`;
  return shape("g", {
    class: `area ${kind}${is ? " selected" : ""}`, "data-key": `a${index}`, "data-area": index, tabindex: sketch ? -1 : 0, role: "button",
    "aria-pressed": is, "aria-label": `${nameOf(index)}, ${points.length} corners, ${percent(sizeOf(points))} of the frame`,
  }, shape("polygon", { class: "under", points: placed(points) }), shape("polygon", { class: "over", points: placed(points), fill: { ignore: "url(#hatch)", watch: "url(#dots)" }[kind] }), label);
}

function handles() {
  const { points } = areas[selected], u = unit();
  const middles = points.map(([x, y], i) => {
    const [nx, ny] = points[(i + 1) % points.length], cx = ((x + nx) / 2) * WIDE, cy = ((y + ny) / 2) * height;
    if (Math.hypot((nx - x) * WIDE, (ny - y) * height) < 56 * u) return null;
    return shape("g", { class: "middle", "data-middle": i, "aria-hidden": "true" }, shape("circle", { class: "hit", cx, cy, r: 16 * u }),
      shape("circle", { class: "dot", cx, cy, r: 7 * u }), shape("path", { d: `M${cx - 4 * u} ${cy}h${8 * u}M${cx} ${cy - 4 * u}v${8 * u}` }));
  });
  const corners = points.map(([x, y], i) => shape("g", {
    class: `corner${i === corner ? " selected" : ""}`, "data-key": `c${selected}-${i}`, "data-corner": i, tabindex: 0, role: "button", "aria-label": cornerName(selected, i),
  }, shape("circle", { class: "hit", cx: x * WIDE, cy: y * height, r: 20 * u }), shape("circle", { class: "dot", cx: x * WIDE, cy: y * height, r: 7.5 * u })));
  return [...middles.filter(Boolean), ...corners];
}

function sketchShape() {
  if (!sketch) return [];
  const points = placed(pointer ? [...sketch.points, pointer] : sketch.points), u = unit();
  const dots = sketch.points.map(([x, y], i) => shape("circle", { cx: x * WIDE, cy: y * height, r: (i ? 5 : 9) * u, fill: i ? "#ffd54a" : "#fff", stroke: "#000", "stroke-width": 2 * u }));
  return [shape("g", { class: "sketch" }, shape("polyline", { class: "under", points }), shape("polyline", { points }), ...dots)];
}

// The list and the buttons beside it.
export function show() {
  draw();
  part("list").replaceChildren(...areas.map(row));
  part("none").hidden = areas.length > 0 || sketch != null;
  part("while-drawing").hidden = !sketch;
  part("close").disabled = !sketch || sketch.points.length < 3;
  part("back").disabled = !sketch?.points.length;
  part("draw").setAttribute("aria-pressed", sketch != null);
  stage.classList.toggle("drawing", sketch != null);
  part("add-corner").disabled = selected == null || sketch != null;
  part("delete-corner").disabled = selected == null || corner == null || areas[selected].points.length <= 3 || sketch != null;
  part("undo").disabled = !past.canUndo || sketch != null;
  part("redo").disabled = !past.canRedo || sketch != null;
  part("hint").textContent = sketch ? drawingHint() : selected == null ? (areas.length ? "Select an area to move it or its corners." : "") : "Drag the area, a corner, or a + to add one.";
  tell.shown();
}

function drawingHint() {
  const left = 3 - sketch.points.length;
  if (left > 0) return `Click ${left === 3 ? "the first corner" : left === 2 ? "the next corner" : "at least one more corner"} of the ${KINDS[sketch.kind]}. Escape gives up.`;
  return "Go on, or close it: Enter, a double click, or the first corner again.";
}

function row(_, index) {
  const { kind, points } = areas[index], name = nameOf(index);
  const select = make("select", { "aria-label": `Kind of ${name}`, onchange: (event) => { const area = areas[index]; area.kind = event.target.value; areas = listed(grouped()); selected = areas.indexOf(area); commit(); } },
    ...Object.keys(KINDS).map((one) => make("option", { value: one, selected: one === kind }, { ignore: "ignore", watch: "watch", privacy: "private" }[one])));
  return make("li", { class: `listed kind-${kind}` },
    make("button", { type: "button", class: "name", "aria-pressed": String(index === selected), onclick: () => { select_(index); focus(`a${index}`); } },
      make("i", { "aria-hidden": "true" }), shortName(index), make("span", { class: "dim numbers" }, percent(sizeOf(points)))),
    select, make("button", { type: "button", class: "gone danger", "aria-label": `Delete ${name}`, title: "Delete", onclick: () => remove(index) }, "✕"));
}

function focus(key) { svg.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true }); }
function select_(index, number = null) {
  if (selected === index && corner === number) return;
  selected = index; corner = number;
  show();
}

/** Takes a change into the past. */
function commit() {
  if (past.add(areas)) tell.changed();
  show();
}
function restore(now) {
  areas = now;
  if (selected != null && selected >= areas.length) selected = null;
  corner = null;
  tell.changed();
  show();
}

function remove(index) {
  const name = nameOf(index);
  areas = areas.filter((_, i) => i !== index);
  selected = corner = null;
  commit();
  speak(`${name} is deleted`);
  svg.focus({ preventScroll: true });
}
function removeCorner() {
  const { points } = areas[selected];
  if (points.length <= 3) return remove(selected);
  points.splice(corner, 1);
  corner = Math.min(corner, points.length - 1);
  commit();
  focus(`c${selected}-${corner}`);
}
function addCorner(after, at = null) {
  const { points } = areas[selected], [x, y] = points[after], [nx, ny] = points[(after + 1) % points.length];
  points.splice(after + 1, 0, at ?? [share((x + nx) / 2), share((y + ny) / 2)]);
  corner = after + 1;
}

const chosen = () => document.querySelector("input[name=kind]:checked").value;
function begin() {
  if (sketch) return giveUp();
  sketch = { kind: chosen(), points: [] };
  selected = corner = pointer = null;
  show();
  svg.focus({ preventScroll: true });
  if (stage.getBoundingClientRect().top < 0) stage.scrollIntoView({ block: "center" });
}
function giveUp() { sketch = pointer = null; show(); speak("given up"); }
function finish() {
  const points = sketch.points.filter((point, i, all) => i === 0 || Math.hypot(point[0] - all[i - 1][0], point[1] - all[i - 1][1]) > 0.002);
  if (points.length < 3) return;
  const { kind } = sketch;
  sketch = pointer = null;
  put(kind, points);
}
function put(kind, points) {
  const area = { kind, points };
  areas = [...areas, area];
  areas = [...Object.keys(KINDS).flatMap((one) => areas.filter((other) => other.kind === one))];
  selected = areas.indexOf(area); corner = null;
  commit();
  speak(`${nameOf(selected)} is there`);
}
function square() {
  put(chosen(), [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]);
  focus(`a${selected}`);
}

// Mouse and touch.
function at(event) {
  const box = svg.getBoundingClientRect();
  return [share((event.clientX - box.left) / box.width), share((event.clientY - box.top) / box.height)];
}
const near = (a, b, event) => Math.hypot((a[0] - b[0]) * svg.clientWidth, (a[1] - b[1]) * svg.clientHeight) < (event.pointerType === "touch" ? 22 : 12);

svg.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  const place = at(event), hit = event.target.closest("[data-corner], [data-middle], [data-area]");
  if (sketch) {
    event.preventDefault();
    if (sketch.points.length >= 3 && near(place, sketch.points[0], event)) return finish();
    sketch.points.push(place);
    pointer = null;
    return show();
  }
  if (!hit) return select_(null);
  if (hit.dataset.middle != null) addCorner(Number(hit.dataset.middle), place);
  else if (hit.dataset.corner != null) corner = Number(hit.dataset.corner);
  else { corner = null; selected = Number(hit.dataset.area); }
  drag = { place, points: areas[selected].points.map((point) => [...point]), id: event.pointerId };
  svg.setPointerCapture(event.pointerId);
  event.preventDefault();
  show();
  focus(corner == null ? `a${selected}` : `c${selected}-${corner}`);
});
svg.addEventListener("pointermove", (event) => {
  if (sketch && event.pointerType !== "touch") { pointer = at(event); draw(); }
  if (!drag || drag.id !== event.pointerId) return;
  const [x, y] = at(event), [right, down] = [x - drag.place[0], y - drag.place[1]];
  if (corner == null) areas[selected].points = moved(drag.points, right, down);
  else areas[selected].points[corner] = [share(drag.points[corner][0] + right), share(drag.points[corner][1] + down)];
  draw();
});
const drop = (event) => { if (drag?.id === event.pointerId) { drag = null; commit(); } };
svg.addEventListener("pointerup", drop);
svg.addEventListener("pointercancel", drop);
svg.addEventListener("dblclick", () => { if (sketch?.points.length >= 3) finish(); });

// Keys.
svg.addEventListener("focusin", (event) => {
  const { area, corner: number } = event.target.dataset;
  if (drag || sketch) return;
  if (number != null) select_(selected, Number(number));
  else if (area != null) select_(Number(area));
});
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
svg.addEventListener("keydown", (event) => {
  const on = event.target.dataset, arrow = ARROWS[event.key];
  if (arrow && selected != null && on.key) {
    const [right, down] = arrow.map((one) => one * STEP * (event.shiftKey ? FAR : 1)), area = areas[selected];
    if (on.corner != null) area.points[on.corner] = [share(area.points[on.corner][0] + right), share(area.points[on.corner][1] + down)];
    else area.points = moved(area.points, right, down);
    event.preventDefault();
    commit();
    speak(on.corner != null ? cornerName(selected, Number(on.corner)) : `${nameOf(selected)}, its middle at ${middleOf(areas[selected].points).map(percent).join(" ")}`);
  } else if ((event.key === "Delete" || event.key === "Backspace") && !sketch && selected != null && on.key) {
    event.preventDefault();
    if (on.corner != null) removeCorner(); else remove(selected);
  } else if (event.key === "Enter" && !sketch && event.target === svg) { event.preventDefault(); square(); }
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea")) return;
  if (sketch && event.key === "Escape") giveUp();
  else if (sketch && event.key === "Enter" && !event.target.closest("button")) { event.preventDefault(); finish(); }
  else if (sketch && event.key === "Backspace") { event.preventDefault(); sketch.points.pop(); show(); }
  else if (event.key === "Escape" && selected != null) { select_(null); svg.focus({ preventScroll: true }); }
  else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !sketch) { event.preventDefault(); if (event.shiftKey ? past.canRedo : past.canUndo) restore(event.shiftKey ? past.redo() : past.undo()); }
});

image.addEventListener("load", () => {
  if (image.naturalWidth && !image.src.endsWith("blank.svg")) {
    image.width = image.naturalWidth;
    image.height = image.naturalHeight;
    height = (WIDE * image.naturalHeight) / image.naturalWidth;
    draw();
  }
});

for (const radio of document.querySelectorAll("input[name=kind]")) radio.addEventListener("change", () => { part("kind-line").textContent = HELP[chosen()]; if (sketch) { sketch.kind = chosen(); show(); } });
part("kind-line").textContent = HELP[chosen()];
part("draw").addEventListener("click", begin);
part("square").addEventListener("click", square);
part("close").addEventListener("click", finish);
part("give-up").addEventListener("click", giveUp);
part("back").addEventListener("click", () => { sketch.points.pop(); show(); });
part("add-corner").addEventListener("click", () => { addCorner(corner ?? 0); commit(); focus(`c${selected}-${corner}`); });
part("delete-corner").addEventListener("click", removeCorner);
part("undo").addEventListener("click", () => restore(past.undo()));
part("redo").addEventListener("click", () => restore(past.redo()));
new ResizeObserver(draw).observe(stage);
