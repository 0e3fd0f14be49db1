// Elements made by hand; text is text, never markup.

/** Makes an element: make("a", {class: "x", href: "/"}, "text", child...). */
export function make(name, attributes = {}, ...children) {
  const one = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) one.addEventListener(key.slice(2), value);
    else if (value === true) one.setAttribute(key, "");
    else if (value !== false && value != null) one.setAttribute(key, value);
  }
  one.append(...children.flat().filter((child) => child != null));
  return one;
}

/** Whether keys that a person presses are meant for a field. */
export function isTyping(event) {
  return event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input:not([type=range],[type=checkbox]), textarea, select, [contenteditable]") != null;
}
