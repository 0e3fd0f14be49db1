// Live frames and states: one WebSocket for a page, and polling where none gets through.
import { get, path, root } from "./api.js";

const FIRST_WAIT = 500, LONGEST_WAIT = 15000; // ms between attempts to connect
const SILENCE = 12000; // ms without a word, after which a connection counts as lost
const ATTEMPTS = 2; // that fail before frames are polled
const POLL_PACE = 1000, LARGE_PACE = 300; // ms
export const WIDTHS = [160, 320, 480, 640, 960, 1280];

/** The width of frames for an element that is so many CSS pixels wide. */
export function widthFor(pixels, most = 1280) {
  const wanted = Math.min(most, pixels * Math.min(devicePixelRatio || 1, 2) * 0.9);
  return WIDTHS.find((one) => one >= wanted) ?? WIDTHS.at(-1);
}

/**
 * Frames and states of cameras.
 *
 * onFrame(name, facts, blob) may return a promise: the next frame comes when it is kept.
 * onStatus(status) gets {watch, cameras}: only those cameras that changed.
 * onLine(mode) is told "live", "polling" or "lost".
 */
export class Live {
  constructor({ onFrame, onStatus, onLine = () => {} }) {
    Object.assign(this, { onFrame, onStatus, onLine });
    this.wanted = {}; this.failed = 0; this.mode = null;
    this.poll = new Polling(this);
    document.addEventListener("visibilitychange", () => this.tell());
    addEventListener("pageshow", (event) => { if (event.persisted) this.connect(); });
    addEventListener("pagehide", () => this.close());
    this.connect();
  }

  /** Shows these from now on: names and widths. */
  watch(wanted) {
    if (JSON.stringify(wanted) === JSON.stringify(this.wanted)) return;
    this.wanted = wanted;
    this.tell();
  }

  get visible() { return document.hidden ? {} : this.wanted; }

  tell() {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ watch: this.visible }));
    else if (!document.hidden && !this.socket) this.connect();
    this.poll.wake();
  }

  connect() {
    clearTimeout(this.timer);
    this.socket?.close();
    const address = new URL(`${root}/live`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = this.socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    let lives = false;
    const watchdog = setInterval(() => { if (!document.hidden && Object.keys(this.wanted).length && performance.now() - heard > SILENCE) socket.close(); }, 2000);
    let heard = performance.now();
    socket.onopen = () => { heard = performance.now(); socket.send(JSON.stringify({ watch: this.visible })); };
    socket.onmessage = (event) => {
      heard = performance.now();
      if (!lives) { lives = true; this.failed = 0; this.poll.stop(); this.line("live"); }
      this.take(socket, event.data).catch((error) => console.warn(error));
    };
    socket.onclose = (event) => {
      clearInterval(watchdog);
      if (this.socket !== socket) return;
      this.socket = null;
      this.failed += 1;
      if (event.code === 1008) get(path("status")).catch(() => {}); // who is signed out is asked to sign in
      if (this.failed >= ATTEMPTS) this.poll.start(); else this.line("lost");
      const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (this.failed - 1));
      this.timer = setTimeout(() => document.hidden || this.connect(), wait * (0.7 + 0.6 * Math.random()));
    };
  }

  async take(socket, data) {
    const acknowledge = (name) => { if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ ack: name })); };
    if (typeof data === "string") {
      const status = JSON.parse(data);
      if (!status.cameras) return; // only a sign of life
      this.onStatus(status);
      acknowledge("*");
      return;
    }
    const length = new DataView(data).getUint32(0);
    const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    try {
      await this.onFrame(facts.camera, facts, new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
    } finally {
      acknowledge(facts.camera);
    }
  }

  line(mode) {
    if (mode !== this.mode) this.onLine(this.mode = mode);
  }

  close() {
    const socket = this.socket;
    this.socket = null;
    clearTimeout(this.timer);
    socket?.close();
    this.poll.stop();
  }
}

/** The same by requests, two at a time, the tile whose frame is the oldest first. */
class Polling {
  constructor(live) { this.live = live; this.shown = new Map(); this.running = false; }

  start() {
    if (this.running) return;
    this.running = true;
    this.stopper = new AbortController();
    this.states(this.stopper.signal);
    for (let i = 0; i < 2; i += 1) this.frames(this.stopper.signal);
  }

  stop() {
    this.running = false;
    this.stopper?.abort();
  }

  wake() { this.wakes?.(); }

  async states(signal) {
    while (!signal.aborted) {
      try {
        if (!document.hidden) {
          this.live.onStatus(await get(path("status"), { signal }));
          if (!signal.aborted) this.live.line("polling");
        }
      } catch (error) {
        if (error.name === "AbortError") return;
        this.live.line("lost");
      }
      await new Promise((done) => setTimeout(done, 2000));
    }
  }

  async frames(signal) {
    while (!signal.aborted) {
      const [name, width, due, wait] = this.next();
      if (name == null || due > 0) {
        await new Promise((done) => { this.wakes = done; setTimeout(done, Math.min(due ?? 1000, 1000)); });
        continue;
      }
      const one = this.shown.get(name) ?? { sequence: -1, asked: 0, busy: false };
      this.shown.set(name, one);
      one.busy = true; one.asked = performance.now();
      try {
        const response = await fetch(`${path("cameras", name, "frame.jpg")}?width=${width}&after=${one.sequence}&wait=${wait}`, { signal });
        if (response.status === 200) {
          const facts = JSON.parse(response.headers.get("X-Frame"));
          one.sequence = facts.sequence;
          await this.live.onFrame(name, facts, await response.blob());
        }
      } catch (error) {
        if (error.name === "AbortError") return;
        one.asked = performance.now() + 3000; // later
      } finally {
        one.busy = false;
      }
    }
  }

  /** Name and width of the tile that waited longest, the time in ms until its turn, and how many seconds to wait for its frame. */
  next() {
    const wanted = Object.entries(this.live.visible);
    const pace = wanted.length === 1 ? LARGE_PACE : POLL_PACE;
    const free = wanted.map(([name, width]) => [name, width, this.shown.get(name)]).filter(([, , one]) => !one?.busy);
    if (!free.length) return [];
    const [name, width, one] = free.reduce((a, b) => ((b[2]?.asked ?? 0) < (a[2]?.asked ?? 0) ? b : a));
    return [name, width, (one?.asked ?? 0) && one.asked + pace - performance.now(), wanted.length === 1 ? 8 : 1];
  }
}

/** Shows a frame in an image element; the frame before stays until this one is there. */
export async function show(image, blob) {
  const before = image.dataset.url;
  const url = URL.createObjectURL(blob);
  image.src = url;
  image.dataset.url = url;
  try {
    await image.decode();
  } catch { /* another one took its place */ } finally {
    if (before) URL.revokeObjectURL(before);
  }
}

const STATES = {
  running: ["●", "running", "good"], connecting: ["↻", "connecting", "warn"], stalled: ["‖", "stalled", "warn"],
  reconnecting: ["↻", "reconnecting", "warn"], stopped: ["■", "stopped", "dim"], failed: ["✕", "failed", "bad"],
};

const PHASES = {
  learning: ["◔", "learning", "warn"], fitting: ["◑", "fitting", "warn"], calibrating: ["◕", "calibrating", "warn"], failed: ["✕", "learning failed", "bad"],
};

/** Whether a camera's scene is still being learnt: then there are no events yet. */
export function isLearning(camera) { return camera.phase in PHASES; }

/** How far a phase is, from 0 to 1; null: it is not known. */
export function phaseShare({ phase, phase_done: done, phase_of: of }) { return of > 0 && phase !== "fitting" && phase !== "failed" ? Math.min(1, Math.max(0, (done ?? 0) / of)) : null; }

/** Icon, word and class of a camera's state; null: no watch has it. */
export function stateOf(camera) {
  if (camera.state === "running" && isLearning(camera)) return PHASES[camera.phase];
  return STATES[camera.state] ?? ["○", "not watched", "dim"];
}

/** Words for the probability of so high a score in a normal frame. */
export function odds(probability) {
  if (probability == null) return "";
  if (probability >= 0.5) return "as most normal frames";
  if (probability <= 1e-6) return "rarer than 1 in a million";
  return `1 in ${Math.round(Number((1 / probability).toPrecision(2))).toLocaleString("en").replaceAll(",", " ")} normal frames`;
}

/** Words for an age in seconds. */
export function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}
