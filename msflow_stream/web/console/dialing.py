"""Dials for pages: computed in the background, once for all who look, and told as values for JSON."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from msflow_stream.events.store import EventFilter, EventStore, StoredEvent
from msflow_stream.results.wording import every, support_wording, trigger_wording
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.folder import fit_identity, read_record, stored_settings
from msflow_stream.scenes.thresholds import read_normal_scores
from msflow_stream.types import Event, UserError
from msflow_stream.watch.replay.activity import Activity
from msflow_stream.watch.replay.curves import curve
from msflow_stream.watch.replay.dial import Dial, Position, dial
from msflow_stream.watch.replay.recorded import Recorded

log = logging.getLogger(__name__)

Values = dict[str, Any]
Progress = Callable[[float], None]
Span = tuple[float, float]  # seconds since 1970

HELD = 6  # results
MOST_WAITING = 8  # works
MOST_OF_ONE = 3  # works of one person; for a further one the oldest that has not begun is left undone
GIVEN_UP = 15.0  # seconds without a question, after which a work that has not begun is left undone
POINTS = 3000  # of a curve
MOST_EVENTS = 5000  # of the store
NEAR = 1.0  # seconds by which two alarms may lie apart and be about the same


@dataclass
class Job:
    """A work in the background; `share` of it is done, and in the end there is a result or an error in words.

    Attributes:
        by: who asked first.
        asked: when it was last asked for, on the clock of time.monotonic.
        work: it can be cancelled before it begins.
    """

    by: str = ""
    share: float = 0.0
    result: Values | None = None
    error: str | None = None
    asked: float = field(default_factory=monotonic)
    work: Future[None] | None = None

    @property
    def over(self) -> bool:
        """True once there is a result or an error."""
        return self.result is not None or self.error is not None


@dataclass
class Desk:
    """Works in the background, one at a time; the newest results are held."""

    _jobs: OrderedDict[object, Job] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)
    _worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "dial"))

    def ask(self, key: object, work: Callable[[Progress], Values], by: str = "") -> Job:
        """Returns the job of that key, which it begins for a person if there is none, or the last one failed.

        Raises:
            UserError: too many wait already.
        """
        with self._lock:
            self._tidy()
            job = self._jobs.get(key)
            if job is None or job.error is not None:
                mine = [one for one, other in self._jobs.items() if other.by == by and not other.over]
                self._leave(mine[: max(0, len(mine) - MOST_OF_ONE + 1)])
                if sum(not one.over for one in self._jobs.values()) >= MOST_WAITING:
                    raise UserError("too many dials are being computed: try again in a minute")
                job = self._jobs[key] = Job(by)
                job.work = self._worker.submit(_do, job, work)
            self._jobs.move_to_end(key)
            job.asked = monotonic()
            return job

    def _tidy(self) -> None:
        """Forgets all but the newest results, and what nobody waits for any longer."""
        over = [key for key, job in self._jobs.items() if job.over]
        left = [key for key, job in self._jobs.items() if not job.over and monotonic() - job.asked > GIVEN_UP]
        self._leave(left)
        for key in over[: max(0, len(over) - HELD)]:
            del self._jobs[key]

    def _leave(self, keys: Sequence[object]) -> None:
        """Leaves works undone that have not begun."""
        for key in keys:
            work = self._jobs[key].work
            if work is not None and work.cancel():
                del self._jobs[key]


def _do(job: Job, work: Callable[[Progress], Values]) -> None:
    def progress(share: float) -> None:
        job.share = share

    try:
        job.result = work(progress)
    except UserError as error:
        job.error = str(error)
    except Exception:
        log.exception("a dial cannot be computed")
        job.error = "this failed; the console's log says why"


def dial_values(
    folder: Path, scene: Path, name: str, since: datetime, until: datetime, store: EventStore, progress: Progress
) -> Values:
    """Returns the dial of a camera for a page.

    Args:
        folder: the camera's.
        scene: the scene's folder.
        name: name of the camera.
        since, until: the span.
        store: what people said of events.
        progress: told how much is done.

    Raises:
        UserError: the scene cannot be read.
    """
    record = read_record(scene)
    settings = stored_settings(record)
    calibration = None if record["calibration"] is None else Calibration.model_validate(record["calibration"])
    try:
        scores = read_normal_scores(scene)
    except UserError:
        scores = []
    progress(0.02)
    recorded = Recorded.read(folder, since, until, name)
    progress(0.15)
    made = dial(
        recorded,
        settings,
        calibration,
        scores,
        scene=scene.name,
        fit=fit_identity(record),
        progress=lambda share: progress(0.15 + 0.6 * share),
    )
    kinds = [trigger.kind for trigger in made.today.triggers]
    score = settings.score
    curves = {kind: curve(recorded, kind, score.kind, score.smoothing, POINTS) for kind in kinds}
    progress(0.95)
    wall, gaps = recorded.wall, recorded.gaps
    judged = store.find(EventFilter(camera=name, since=since, until=until, limit=MOST_EVENTS))
    positions = positions_values(made, recorded.activity, judged)
    positions["today"]["support"] = sentence(trigger_wording(made.today.triggers, score, calibration))
    return {
        "span": [since.timestamp(), until.timestamp()],
        "hours": recorded.hours,
        "kinds": kinds,
        "curves": curves,
        "gaps": [[float(wall[gap - 1]), float(wall[gap])] for gap in gaps.tolist()],
        "said": list(made.said),
        "supported": made.supported,
        **positions,
    }


def sentence(text: str) -> str:
    """Returns a text that begins and ends as a sentence does."""
    return f"{text[:1].upper()}{text[1:]}."


def positions_values(made: Dial, activity: Activity, judged: Sequence[StoredEvent]) -> Values:
    """Returns the positions of a dial beside what is raised today, and what people said."""
    today = [span_of(event) for event in made.today.events]
    labelled = [(stored_span(one), one) for one in judged]
    hours = 0.0 if made.supported is None else 1 / (10 * made.supported)
    return {
        "today": position_values(made.today, today, activity, labelled, hours),
        "positions": [position_values(one, today, activity, labelled, hours) for one in made.positions],
    }


def position_values(
    position: Position,
    today: Sequence[Span],
    activity: Activity,
    judged: Sequence[tuple[Span, StoredEvent]],
    hours: float,
) -> Values:
    """Returns a position: its alarms, which of today's are gone (by number), and what becomes of judged ones."""
    spans = [span_of(event) for event in position.events]
    old, new, known = (
        overlapping(spans, today),
        overlapping(today, spans),
        overlapping(spans, [one for one, _ in judged]),
    )
    kept = overlapping([one for one, _ in judged], spans)
    labels: dict[str, list[int]] = {}
    for (_, one), is_kept in zip(judged, kept, strict=True):
        if one.label is not None:
            counts = labels.setdefault(one.label, [0, 0])
            counts[0] += is_kept is not None
            counts[1] += 1
    bursts = overlapping(spans, [(one.start, one.end) for one in activity.bursts])
    return {
        "rate": position.rate,
        "every": None if position.rate is None else every(position.rate),
        "support": None if position.rate is None or not hours else support_wording(position.rate, hours),
        "thresholds": {trigger.kind: trigger.threshold for trigger in position.triggers},
        "supported": position.supported,
        "exact": position.exact,
        "labels": labels,
        "gone": [number for number, found in enumerate(new) if found is None],
        "alarms": [
            alarm_values(
                event,
                span,
                was is None,
                None if burst is None else activity.bursts[burst].id,
                None if saved is None else judged[saved][1],
            )
            for event, span, was, burst, saved in zip(position.events, spans, old, bursts, known, strict=True)
        ],
    }


def alarm_values(event: Event, span: Span, is_new: bool, burst: int | None, stored: StoredEvent | None) -> Values:
    """Returns one alarm: start and end, what triggered it, how grave it is, its thumbnail, and what is known of it."""
    values: Mapping[str, Any] = {
        "start": round(span[0], 3),
        "end": round(span[1], 3),
        "triggers": event.triggers,
        "severity": event.severity,
        "new": is_new,
        "burst": burst,
        "id": None if stored is None else stored.event.id,
        "label": None if stored is None else stored.label,
    }
    return dict(values)


def overlapping(spans: Sequence[Span], others: Sequence[Span]) -> list[int | None]:
    """Returns for each span the number of the other one that it shares most time with, None where there is none."""
    order = sorted(range(len(others)), key=lambda number: others[number])
    longest = max((end - start for start, end in others), default=0.0)
    found: list[int | None] = []
    starts = [others[number][0] for number in order]
    for start, end in spans:
        first = bisect_left(starts, start - longest - NEAR)
        best, most = None, -NEAR
        for number in order[first:]:
            other = others[number]
            if other[0] > end + NEAR:
                break
            shared = min(end, other[1]) - max(start, other[0])
            if shared > most:
                best, most = number, shared
        found.append(best)
    return found


def span_of(event: Event) -> Span:
    """Returns when an event was, in seconds since 1970."""
    assert event.start_wall is not None
    start = event.start_wall.timestamp()
    return start, start if event.end_wall is None else max(start, event.end_wall.timestamp())


def stored_span(one: StoredEvent) -> Span:
    """Returns when a stored event was, in seconds since 1970; one that is open lasts for a moment."""
    start = one.happened.timestamp()
    event = one.event
    return start, start if event.end is None else start + max(0.0, event.end - event.start)
