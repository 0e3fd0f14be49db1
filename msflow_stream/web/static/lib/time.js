// Times as the person's clock shows them. The server sends UTC: <time datetime="2026-01-02T03:04:05Z">.
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "2-digit", day: "2-digit" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** Text of a moment: the time of day, and the date unless it is today. */
export function moment(value) {
  const date = new Date(value);
  const today = day.format(date) === day.format(new Date());
  return today ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

/** Text of a length of time in seconds: 4.2 s, 3:05 min, 2:10 h, 6.5 days. */
export function lasting(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`;
  if (whole >= 48 * 3600) return `${(whole / 86400).toFixed(1)} days`;
  return `${Math.floor(whole / 3600)}:${two(Math.floor((whole % 3600) / 60))} h`;
}

/** Writes all <time datetime> elements below a node in the person's zone. */
export function showTimes(node) {
  for (const one of node.querySelectorAll("time[datetime]:not([data-shown])")) {
    one.textContent = moment(one.dateTime);
    one.title = new Date(one.dateTime).toString();
    one.dataset.shown = "";
  }
}
