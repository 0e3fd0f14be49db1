// Calls of the server: JSON there and back; what goes wrong is said to the person.
export const root = document.documentElement.dataset.root;

/** Path of an address below the console's own, each part escaped: path("api", "events", id). */
export function path(...parts) {
  return `${root}/${parts.map(encodeURIComponent).join("/")}`;
}

/** Returns the JSON of an address; throws an Error whose message a person can read. */
export async function get(url, options = {}) {
  return answer(await reach(url, options));
}

/** Sends JSON to an address and returns the JSON that comes back. */
export async function send(url, values = {}, method = "POST") {
  const headers = { "Content-Type": "application/json" };
  return answer(await reach(url, { method, headers, body: JSON.stringify(values) }));
}

async function reach(url, options) {
  try {
    return await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the console does not answer");
  }
}

async function answer(response) {
  if (response.status === 401) {
    location.assign(`${root}/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Error("sign in first");
  }
  const values = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw new Error(values?.error ?? `the console answered ${response.status}`);
  return values;
}

/** Shows a message for some seconds, which is returned, with a button where `action` is {text, run}. */
export function say(text, action = null, kind = "") {
  const one = document.createElement("div");
  one.className = `toast ${kind}`;
  one.append(Object.assign(document.createElement("span"), { textContent: text }));
  if (action) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: action.text });
    button.addEventListener("click", () => { one.remove(); action.run(); });
    one.append(button);
  }
  document.getElementById("toasts").append(one);
  setTimeout(() => one.remove(), action ? 10000 : 5000);
  return one;
}

/** Runs an action of a person; what it throws is shown. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, null, "bad");
    return undefined;
  }
}
