// A clip and its overlay in step, by the source's own time. A clip may have several parts, played one after the other.

const AHEAD = 0.02; // seconds into a frame at which it is looked at, at most half of it: never the edge between two
const DRIFT = 0.12; // seconds that the overlay may be off while both play

/** Index of the last time that is not after `value`, -1 if there is none. */
export function lastBefore(times, value) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= value + 1e-4) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** A list of parts {file, start, times}, as one recording. */
export class Recording {
  constructor(parts) {
    this.parts = parts;
    this.frames = parts.flatMap((part, number) => part.times.map((time, place) => ({ part: number, place, time: part.start + time, at: look(part.times, place) })));
    this.times = this.frames.map((frame) => frame.time);
  }

  get start() { return this.times[0] ?? 0; }
  get end() { return this.times.at(-1) ?? 0; }

  /** The frame that is shown at a time of the source; the first before it begins. */
  frame(time) { return this.frames[Math.max(0, lastBefore(this.times, time))]; }
}

function look(times, place) {
  const next = times[place + 1] ?? times[place] + 2 * AHEAD;
  return times[place] + Math.min(AHEAD, (next - times[place]) / 2);
}

/**
 * Plays `details` (clips, overlays) in two <video> elements. `url(part)` is the address of a part's file.
 * Events: "time" when another frame is shown, "state" when it begins or stops to play, "codec" when the clip cannot be played.
 */
export class Player extends EventTarget {
  constructor(clip, heat, url) {
    super();
    Object.assign(this, { clip, heat, url, time: 0, rate: 1, opacity: 0.7, playable: true, playing: false });
    this.part = null;
    for (const one of [clip, heat]) one.defaultMuted = one.muted = true;
    clip.addEventListener("error", () => this.fail());
    clip.addEventListener("ended", () => this.next());
    clip.addEventListener("pause", () => { this.told(); this.follow(); });
    clip.addEventListener("play", () => this.told());
    for (const name of ["timeupdate", "seeked", "loadeddata"]) clip.addEventListener(name, () => this.follow());
    heat.addEventListener("loadeddata", () => this.step());
    heat.addEventListener("error", () => { this.heated = false; this.heat.style.opacity = 0; });
    const tick = () => { if (this.playing) this.follow(); requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
  }

  /** Takes what there is to play; called again when there is more. */
  load(details) {
    this.details = details;
    this.overlay = new Recording(details.overlays);
    this.main = new Recording(this.playable && details.clips.length ? details.clips : details.overlays);
    this.alone = this.main.parts === details.overlays;
    this.heated = !this.alone && details.overlays.length > 0;
    this.shape = this.main.parts[0] ? [this.main.parts[0].width, this.main.parts[0].height] : null;
  }

  /** Shows the frame of a time of the source. */
  seek(time) {
    const frame = this.main.frame(time);
    if (!frame) return;
    this.wanted = frame;
    this.open(frame.part, frame.at);
    if (this.clip.readyState > 0) this.clip.currentTime = frame.at;
    this.time = frame.time;
    this.step();
    this.dispatchEvent(new Event("time"));
  }

  /** One frame on or back. */
  move(by) {
    this.pause();
    const at = this.main.frames.indexOf(this.main.frame(this.time)) + by;
    const frame = this.main.frames[at];
    if (frame) this.seek(frame.time);
  }

  toggle() { if (this.playing) this.pause(); else this.play(); }

  async play() {
    if (!this.main.frames.length) return;
    if (this.time >= this.main.end - 1e-3) this.seek(this.main.start);
    else if (this.clip.ended) this.seek(this.time);
    this.playing = true;
    this.clip.playbackRate = this.rate;
    await this.clip.play().catch(() => this.pause());
  }

  pause() {
    this.playing = false;
    this.clip.pause();
    this.heat.pause();
    this.told();
  }

  speed(rate) {
    this.rate = rate;
    this.clip.playbackRate = this.heat.playbackRate = rate;
  }

  fade(opacity) {
    this.opacity = opacity;
    this.step();
  }

  // --- inner ---
  open(number, at) {
    const url = this.url(this.main.parts[number]);
    const short = url !== this.opened && (this.clip.ended || at > this.clip.duration - 0.05); // it has grown since
    if (this.part === number && this.opened && !short) return;
    this.part = number;
    this.clip.src = this.opened = url;
    this.clip.playbackRate = this.rate;
    this.clip.addEventListener("loadedmetadata", () => {
      this.clip.currentTime = this.wanted.at;
      if (this.playing) this.clip.play().catch(() => this.pause());
    }, { once: true });
  }

  next() {
    const part = this.part + 1;
    if (this.playing && part < this.main.parts.length) {
      const first = this.main.frames.find((frame) => frame.part === part);
      this.seek(first.time);
      return;
    }
    this.pause();
    this.dispatchEvent(new Event("end"));
  }

  /** Notes which frame the clip shows now. */
  follow() {
    const part = this.main.parts[this.part];
    if (!part || this.clip.seeking || this.clip.readyState < 2) return;
    const place = lastBefore(part.times, this.clip.currentTime);
    this.time = part.start + (part.times[Math.max(0, place)] ?? 0);
    this.step();
    this.dispatchEvent(new Event("time"));
  }

  /** Keeps the overlay in step. */
  step() {
    if (!this.heated) { this.heat.style.opacity = 0; return; }
    const frame = this.overlay.frame(this.time);
    const parts = this.overlay.parts;
    const within = this.time >= this.overlay.start - 1e-3 && this.time <= this.overlay.end + 1;
    this.heat.style.opacity = within ? this.opacity : 0;
    const url = this.url(parts[frame.part]);
    if (this.heatPart !== frame.part || (url !== this.heatUrl && frame.at > this.heat.duration - 0.05)) {
      this.heatPart = frame.part;
      this.heat.src = this.heatUrl = url;
      return;
    }
    if (this.heat.readyState < 1) return;
    const runs = this.playing && within && !this.clip.paused && !this.clip.seeking;
    const exact = this.time - parts[frame.part].start;
    if (!runs) {
      if (!this.heat.paused) this.heat.pause();
      if (Math.abs(this.heat.currentTime - frame.at) > 1e-3 && !this.heat.seeking) this.heat.currentTime = frame.at;
      else if (this.heat.seeking) this.heat.addEventListener("seeked", () => this.step(), { once: true });
      return;
    }
    if (Math.abs(this.heat.currentTime - exact) > DRIFT && !this.heat.seeking) this.heat.currentTime = exact;
    if (this.heat.paused) this.heat.play().catch(() => {});
  }

  /** The browser does not play the clip's codec: the overlay, which is H.264, takes its place. */
  fail() {
    if (this.clip.error?.code === MediaError.MEDIA_ERR_NETWORK) { this.pause(); return; }
    if (this.alone || !this.playable) { this.dispatchEvent(new CustomEvent("codec", { detail: { overlay: false } })); return; }
    this.playable = false;
    this.part = null;
    this.load(this.details);
    this.dispatchEvent(new CustomEvent("codec", { detail: { overlay: this.main.frames.length > 0 } }));
    this.seek(this.time);
  }

  told() { this.dispatchEvent(new Event("state")); }
}
