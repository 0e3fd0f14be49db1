"""What a report says: per camera its hours, gaps and events, what people said of them, and false alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from scipy.special import gammaincinv

from msflow_stream.events.detection.triggers import default_triggers
from msflow_stream.events.evidence.event_files import EventFiles, event_files
from msflow_stream.events.store import EventFilter, EventStore, Label, StoredEvent
from msflow_stream.events.store.decisions import Decision
from msflow_stream.results.run_folder import SCORES
from msflow_stream.results.wording import every
from msflow_stream.scenes.folder import read_record, scene_folder
from msflow_stream.types import UserError
from msflow_stream.watch.replay.recorded import arrivals
from msflow_stream.watch.reporting.spans import Span

MOST_EVENTS = 2000  # of a report; the newest
CONFIDENCE = 0.9
LEAST_GAP = 10.0  # seconds; shorter ones are counted, but not listed
MOST_GAPS = 50  # listed; the longest
LABELS: tuple[Label | None, ...] = ("violation", "normal", "unsure", None)


@dataclass(frozen=True, slots=True)
class ReportedEvent:
    """An event of a report.

    Attributes:
        files: what is there of its evidence; None: it is gone.
        decisions: what people decided about it, the oldest first.
    """

    stored: StoredEvent
    files: EventFiles | None
    decisions: Sequence[Decision]

    @property
    def seconds(self) -> float | None:
        """How long it lasted; None while it goes on."""
        event = self.stored.event
        return None if event.end is None else event.end - event.start


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """False alarms of a camera in a span, beside what its scene promises.

    Attributes:
        said: events that somebody labelled normal.
        open: events of which nobody has said whether they are violations.
        least, most: false alarms an hour, if none or all of the open ones are false; None where nothing was watched.
        interval: of the rate if all are, with CONFIDENCE.
        promised: false alarms an hour, by scene; None where it is not calibrated.
    """

    said: int
    open: int
    least: float | None
    most: float | None
    interval: tuple[float, float] | None
    promised: Mapping[str, float | None]

    @property
    def is_above(self) -> bool:
        """Whether there are surely more than promised, even if all open ones were violations."""
        known = [rate for rate in self.promised.values() if rate is not None]
        if not known or self.least is None or not self.least:
            return False
        return _interval(self.said, self.said / self.least)[0] > max(known)


@dataclass(frozen=True)
class CameraSummary:
    """A camera in a span.

    Attributes:
        hours: in which it was watched.
        gaps: the spans in which it was not, of LEAST_GAP or more, in their order; the longest MOST_GAPS.
        left_out: the number of the others.
        events: in the order of time.
    """

    name: str
    hours: float
    gaps: Sequence[tuple[datetime, datetime]]
    left_out: int
    events: Sequence[ReportedEvent]
    false_alarms: FalseAlarms

    @cached_property
    def kinds(self) -> list[tuple[str, int]]:
        """How many events each kind of score triggered, the most frequent first."""
        counts = Counter(kind for one in self.events for kind in one.stored.event.triggers)
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    @cached_property
    def labels(self) -> list[tuple[Label | None, int]]:
        """How many events have each label."""
        counts = Counter(one.stored.label for one in self.events)
        return [(label, counts[label]) for label in LABELS]

    @cached_property
    def longest(self) -> ReportedEvent | None:
        """The longest event that is over."""
        over = [one for one in self.events if one.seconds is not None]
        return max(over, key=lambda one: one.seconds or 0.0, default=None)


@dataclass(frozen=True)
class Summary:
    """A report.

    Attributes:
        made: when it was made; what happened later in the span is not in it.
        left_out: the number of events that are older than the newest MOST_EVENTS.
    """

    span: Span
    made: datetime
    cameras: Sequence[CameraSummary]
    left_out: int = field(default=0)

    @property
    def events(self) -> list[ReportedEvent]:
        """The events of all cameras."""
        return [one for camera in self.cameras for one in camera.events]


def summarize(
    store: EventStore,
    out: Path,
    scenes: Path,
    span: Span,
    *,
    cameras: Sequence[str] | None = None,
    only: Collection[str] | None = None,
    of_camera: Mapping[str, Sequence[str]] | None = None,
) -> Summary:
    """Returns what a report says.

    Args:
        store: the events.
        out: the folder that the watch writes to.
        scenes: the folder of the scenes.
        span: the span that it is about.
        cameras: these are in it, whether they have events or not; None: all that have recorded scores.
        only: nothing of other cameras is in it; None: every camera that has events is.
        of_camera: the scenes of cameras, as far as they are known; of others, those that their events name.
    """
    now = datetime.now(UTC)
    allowed = None if only is None else frozenset(only)
    which = EventFilter(since=span.since, until=span.until, cameras=allowed)
    found = store.find(replace(which, limit=MOST_EVENTS))[::-1]
    left_out = store.count(which) - len(found) if len(found) == MOST_EVENTS else 0
    if cameras is None:
        cameras = sorted(path.parent.name for path in out.glob(f"*/{SCORES}"))
    names = dict.fromkeys([*cameras, *(one.event.source for one in found)])
    wanted = [name for name in names if allowed is None or name in allowed]
    own: dict[str, list[ReportedEvent]] = {name: [] for name in wanted}
    for one in found:
        decisions = store.decisions(one.event.id)[::-1]
        own[one.event.source].append(ReportedEvent(one, event_files(out, one.event), decisions))
    summaries = [_of_camera(out, scenes, name, span, now, own[name], (of_camera or {}).get(name)) for name in wanted]
    return Summary(span, now, summaries, left_out)


def _of_camera(
    out: Path,
    scenes: Path,
    name: str,
    span: Span,
    now: datetime,
    events: Sequence[ReportedEvent],
    named: Sequence[str] | None,
) -> CameraSummary:
    hours, gaps = watched(out, name, span, now)
    longest = sorted(gaps, key=lambda gap: gap[0] - gap[1])[:MOST_GAPS]
    of_events = dict.fromkeys(one.stored.event.scene for one in events)
    promised = {scene: promise(scenes, scene) for scene in dict.fromkeys(named or of_events)}
    alarms = false_alarms([one.stored for one in events], hours, promised)
    return CameraSummary(name, hours, sorted(longest), len(gaps) - len(longest), events, alarms)


def watched(out: Path, name: str, span: Span, now: datetime) -> tuple[float, list[tuple[datetime, datetime]]]:
    """Returns the hours of a span in which a camera was watched, and its gaps; what is yet to come is none."""
    until = min(span.until, now)
    if until <= span.since:
        return 0.0, []
    if Path(name).name != name or name in ("", ".", ".."):
        return 0.0, [(span.since, until)]
    recorded = arrivals(out / name, span.since, until)
    if not len(recorded):
        return 0.0, [(span.since, until)]
    wall = recorded.wall
    ends = [(span.since.timestamp(), float(wall[0])), (float(wall[-1]), until.timestamp())]
    inner = [(float(wall[at - 1]), float(wall[at])) for at in recorded.gaps.tolist()]
    least = max(LEAST_GAP, 3 * recorded.step)
    spans = [(first, last) for first, last in (ends[0], *inner, ends[1]) if last - first >= least]
    return recorded.hours, [tuple(datetime.fromtimestamp(at, UTC) for at in gap) for gap in spans]  # type: ignore[misc]


def promise(scenes: Path, scene: str) -> float | None:
    """Returns the false alarms an hour that a scene promises now; None where that is not known."""
    try:
        record = read_record(scene_folder(scenes, scene))
    except UserError:
        return None
    return promised_rate(record)


def promised_rate(record: Mapping[str, Any]) -> float | None:
    """Returns the false alarms an hour that a scene's record promises, of all that trigger; None: it is not known."""
    kind = ((record.get("settings") or {}).get("score") or {}).get("kind", "paper")
    limits = (record.get("calibration") or {}).get("limits") or {}
    rates = [(limits.get(trigger) or {}).get("rate") for trigger in default_triggers(kind)]
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


def false_alarms(events: Sequence[StoredEvent], hours: float, promised: Mapping[str, float | None]) -> FalseAlarms:
    """Returns the false alarms among events: violations are none, and what nobody has judged may be."""
    said = sum(one.label == "normal" for one in events)
    unknown = sum(one.label in (None, "unsure") for one in events)
    if hours <= 0:
        return FalseAlarms(said, unknown, None, None, None, promised)
    both = said + unknown
    return FalseAlarms(said, unknown, said / hours, both / hours, _interval(both, hours), promised)


def alarms_text(alarms: FalseAlarms) -> str:
    """Returns the false alarms in a sentence."""
    if alarms.least is None or alarms.most is None or alarms.interval is None:
        return "Nothing was watched, so nothing can be said of false alarms."
    said = f"{alarms.said} said to be normal, {alarms.open} not judged"
    if alarms.said + alarms.open == 0:
        return f"None; by chance there could be up to {every(alarms.interval[1])}."
    low, high = every(alarms.least), every(alarms.most)
    rate = high if alarms.least == alarms.most else f"between {low if alarms.least else 'none'} and {high}"
    least, most = map(every, alarms.interval)
    return f"{rate[:1].upper()}{rate[1:]} ({said}); if all are false, by chance {least} to {most}."


def promise_text(alarms: FalseAlarms) -> str:
    """Returns what was promised, in a sentence, and whether it is kept."""
    known = {scene: rate for scene, rate in alarms.promised.items() if rate is not None}
    if not known:
        return "Nothing: its scene is not calibrated for a rate of false alarms."
    names = "; ".join(f"{every(rate)}" + (f" ({scene})" if len(known) > 1 else "") for scene, rate in known.items())
    kept = " There are surely more than that." if alarms.is_above else ""
    return f"{names[:1].upper()}{names[1:]}.{kept}"


def _interval(count: int, hours: float) -> tuple[float, float]:
    """Returns the interval of a Poisson process's rate after so many events in so many hours (Garwood 1936)."""
    tail = (1 - CONFIDENCE) / 2
    least = float(gammaincinv(count, tail)) if count else 0.0
    return least / hours, float(gammaincinv(count + 1, 1 - tail)) / hours


def lasted(seconds: float | None) -> str:
    """Returns a length of time as 4.2 s, 3:05 min or 2:10 h."""
    if seconds is None:
        return "going on"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = timedelta(seconds=round(seconds))
    minutes, left = divmod(int(whole.total_seconds()), 60)
    if minutes < 60:
        return f"{minutes}:{left:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"
