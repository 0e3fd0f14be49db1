// What people say of events: decisions, and their way back. Who listens is told of every change.
import { attempt, path, say, send } from "./api.js";

const STACK = "decisions"; // of this tab, so that a decision can be taken back from another page too
const WORDS = { violation: "a violation", normal: "normal", unsure: "unsure" };

export class Judge {
  /** `changed` gets a list of {id, label, kept, note, ...} after each decision. */
  constructor(changed) {
    this.changed = changed;
    this.busy = Promise.resolve();
  }

  /** Decides about events: {label}, {kept}, {note}, or {label: "normal", here: true}. Resolves to the decision's number, undefined where it failed. */
  decide(ids, change) {
    return this.next(async () => {
      const { decision, events, exceptions } = await send(path("decisions"), { ids, ...change });
      remember([...remembered(), decision]);
      this.changed(events);
      this.say(told(events, change) + excepted(exceptions), { text: "Undo", run: () => this.undo(decision) });
      return decision;
    });
  }

  /** Takes a decision back, the last one if none is given. */
  undo(given) {
    return this.next(async () => {
      const decision = given ?? remembered().at(-1);
      if (decision === undefined) return this.say("There is nothing to take back.");
      remember(remembered().filter((one) => one !== decision));
      const { events, left } = await send(path("decisions", decision), {}, "DELETE");
      this.changed(events);
      const kept = left ? ` ${count(left)} decided otherwise since stay${left === 1 ? "s" : ""}.` : "";
      this.say((events.length ? `Taken back: ${count(events.length)} as before.` : "Nothing was taken back.") + kept);
    });
  }

  /** Only the last message stays: a person who judges quickly has the page in view. */
  say(text, action = null) {
    this.said?.remove();
    this.said = say(text, action);
  }

  next(work) {
    this.busy = this.busy.then(() => attempt(work));
    return this.busy;
  }
}

export function count(number, word = "event") {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

function told(events, change) {
  let what = "The note is saved.";
  if ("label" in change) what = change.label ? `Judged ${WORDS[change.label]}.` : "The judgement is taken away.";
  else if ("kept" in change) what = change.kept ? "The evidence is kept." : "The evidence goes when it is old.";
  return events.length === 1 ? what : `${count(events.length)}: ${what[0].toLowerCase()}${what.slice(1)}`;
}

function excepted(number) {
  return number ? ` No alarm of the same at ${number === 1 ? "this place" : "these places"} from now on.` : "";
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(STACK)) ?? [];
  } catch {
    return [];
  }
}

function remember(stack) {
  sessionStorage.setItem(STACK, JSON.stringify(stack.slice(-100)));
}
