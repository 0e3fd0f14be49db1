// Keys of a page, and the dialog that names them all.
import { isTyping, make } from "./dom.js";

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→" };

/**
 * Binds keys: keys([["j", "Next event", run], [["n", "ArrowLeft"], "Normal", run], ...], button).
 * "?" and the button open a dialog that lists them. Keys meant for a field, a button (Enter, Space) or a dialog are left.
 */
export function keys(list, button) {
  const known = list.map(([key, text, run]) => ({ names: [key].flat(), text, run }));
  const dialog = help(known);
  button?.addEventListener("click", () => dialog.showModal());
  addEventListener("keydown", (event) => {
    if (isTyping(event) || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.key === "?") return dialog.showModal();
    if ([" ", "Enter"].includes(event.key) && event.target.closest("button, a, summary, input, video[controls]")) return;
    if (event.key.startsWith("Arrow") && event.target.closest("input, [role=slider]")) return;
    const found = known.find((one) => one.names.includes(event.key));
    if (!found || (event.repeat && !",.jk".includes(event.key))) return;
    event.preventDefault();
    found.run(event);
  });
}

function help(known) {
  const rows = known.flatMap((one) => [
    make("dt", {}, one.names.map((name) => make("kbd", {}, NAMES[name] ?? name))),
    make("dd", {}, one.text),
  ]);
  const close = make("button", { type: "button", class: "main", onclick: () => dialog.close() }, "Close");
  const dialog = make("dialog", { "aria-labelledby": "keys-title" },
    make("h2", { id: "keys-title" }, "Keys"), make("dl", {}, rows, make("dt", {}, make("kbd", {}, "?")), make("dd", {}, "This list")), close);
  document.body.append(dialog);
  return dialog;
}
