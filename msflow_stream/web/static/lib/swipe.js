// A swipe to the left or right by touch or pen; up and down the page scrolls as ever.

const ENOUGH = 0.28; // of the element's width
const LEAST = 12; // pixels before it is a swipe

/** Calls moved(share from -1 to 1, 0 at the end) while it goes, done(1 or -1) when it went far enough. */
export function swipes(element, { moved, done }) {
  let from = null;
  let share = 0;
  const end = (event, counts) => {
    if (!from || event.pointerId !== from.id) return;
    const side = counts && Math.abs(share) >= 1 ? Math.sign(share) : 0;
    from = null;
    share = 0;
    element.style.transition = "transform .18s";
    element.style.transform = "";
    moved(0);
    if (side) done(side);
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" || !event.isPrimary) return;
    from = { id: event.pointerId, x: event.clientX, y: event.clientY, on: false };
  });
  element.addEventListener("pointermove", (event) => {
    if (!from || event.pointerId !== from.id) return;
    const [x, y] = [event.clientX - from.x, event.clientY - from.y];
    if (!from.on) {
      if (Math.abs(x) < LEAST) return;
      if (Math.abs(y) > Math.abs(x)) { from = null; return; }
      from.on = true;
      element.setPointerCapture(event.pointerId);
      element.style.transition = "none";
    }
    share = Math.max(-1, Math.min(1, x / (element.clientWidth * ENOUGH)));
    element.style.transform = `translateX(${x}px) rotate(${x / 60}deg)`;
    moved(share);
  });
  element.addEventListener("pointerup", (event) => end(event, true));
  element.addEventListener("pointercancel", (event) => end(event, false));
  element.addEventListener("click", (event) => { if (Math.abs(share) > 0.2) { event.preventDefault(); event.stopPropagation(); } }, true);
}
