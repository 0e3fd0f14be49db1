// Takes over what has changed in a part of the page; what stays keeps its focus, its scroll and what was typed.
import { showTimes } from "./time.js";

/** Returns the element with this id in the page that an address answers with; it is not in this document yet. */
export async function fetched(url, id, options = {}) {
  const response = await fetch(url, { credentials: "same-origin", ...options });
  if (response.redirected) location.reload();
  if (!response.ok) throw new Error(`the console answered ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html").getElementById(id);
}

/** Makes an element equal to another one, which is used up. */
export function morph(old, fresh) {
  update(old, fresh);
  showTimes(old);
}

function update(old, fresh) {
  if (old.isEqualNode(fresh) || same(old, fresh)) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.matches("input, select, textarea, [data-mine]")) return; // is the person's
  const known = new Map([...old.children].filter(key).map((child) => [key(child), child]));
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const keyed = child.nodeType === 1 && key(child) ? known.get(key(child)) : null;
    const match = keyed ?? (place && alike(place, child) ? place : null);
    if (!match) old.insertBefore(child, place);
    else {
      if (match !== place) old.insertBefore(match, place);
      else place = place.nextSibling;
      if (match.nodeType === 1) update(match, child);
      else if (match.data !== child.data) match.data = child.data;
    }
    if (keyed) known.delete(key(child));
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

const key = (element) => element.dataset?.key || element.id || "";

function same(old, fresh) {
  return old.nodeName === "TIME" && old.dateTime === fresh.dateTime;
}

function alike(old, fresh) {
  return old.nodeName === fresh.nodeName && (old.nodeType !== 1 || (!key(old) && !key(fresh)));
}
