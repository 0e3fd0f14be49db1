// The score of a frame as a bar with its threshold: 0 to 1 from empty to full, said in words too.
import { odds, phaseShare } from "./live.js";

const WORDS = { learning: "recording what is normal", fitting: "fitting the scene", calibrating: "setting the thresholds", failed: "learning has failed" };

/** Shows how far the learning of a camera's scene is, in the place of a score. */
export function showPhase(bar, camera) {
  const meter = bar.querySelector(".meter"), share = phaseShare(camera), text = WORDS[camera.phase];
  const words = share == null ? text : `${text}: ${Math.floor(100 * share)} %`;
  bar.classList.remove("over");
  meter.querySelector(".fill").style.width = `${100 * (share ?? 0)}%`;
  meter.querySelector(".mark").hidden = true;
  meter.setAttribute("aria-valuenow", (share ?? 0).toFixed(2));
  meter.setAttribute("aria-valuetext", words);
  Object.assign(bar.querySelector(".odds"), { textContent: words, title: words });
}

/** Shows a frame's facts in an element made by the macro `scorebar`; null: not known. */
export function showScore(bar, facts) {
  const meter = bar.querySelector(".meter");
  const level = facts?.level;
  bar.classList.toggle("over", Boolean(facts?.alarm));
  meter.querySelector(".fill").style.width = `${100 * (level ?? 0)}%`;
  const mark = meter.querySelector(".mark");
  mark.hidden = facts?.threshold_level == null;
  mark.style.left = `${100 * (facts?.threshold_level ?? 0)}%`;
  const figure = (value) => (value == null ? "–" : Number(value).toPrecision(3));
  const words = facts == null || facts.smoothed == null ? "no score yet" : `score ${figure(facts.smoothed)} of ${figure(facts.threshold)}`;
  meter.setAttribute("aria-valuenow", (level ?? 0).toFixed(2));
  meter.setAttribute("aria-valuetext", facts?.alarm ? `${words}: alarm` : words);
  const text = bar.querySelector(".odds");
  text.textContent = facts == null ? "no score yet" : odds(facts.probability) || words;
  text.title = words;
}
