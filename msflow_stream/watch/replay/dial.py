"""The dial of a camera: the alarms that its detector would have raised, for rates of false alarms that one may want."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from msflow_stream.config.settings import EventSettings, Settings
from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.events.detection.sieve import ActivitySieve
from msflow_stream.events.detection.triggers import Trigger, triggers_of
from msflow_stream.results.wording import span
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.recalibration import ThresholdFinder
from msflow_stream.scenes.thresholds import NormalScore
from msflow_stream.series import SmoothedScore
from msflow_stream.types import Box, Event, ScoreKind, UserError
from msflow_stream.watch.replay.activity import ActiveFrame, ActivityRun
from msflow_stream.watch.replay.recorded import Recorded

HOURS = (  # between false alarms, from the rarest on
    *(100.0, 72.0, 48.0, 36.0, 24.0, 18.0, 12.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.0),
    *(3 / 4, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 2 / 15, 1 / 10, 1 / 12),
)
RATES = tuple(1 / hours for hours in HOURS)

Seen = tuple[SmoothedScore, tuple[Box, ...], tuple[int, int]]  # a frame: scores, regions, size of the image
Progress = Callable[[float], None]  # takes the share that is done


@dataclass(frozen=True, slots=True)
class Position:
    """A position of the dial, and the alarms that there would have been.

    Attributes:
        rate: false alarms per hour; None for the thresholds of today.
        triggers: the kinds of score with their thresholds.
        supported: the footage of normal frames supports such a rate.
        exact: whatever matters at these thresholds was recorded.
        events: in the order in which they began; what is still open ends with its last activity.
    """

    rate: float | None
    triggers: tuple[Trigger, ...]
    supported: bool
    exact: bool
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Dial:
    """All positions for a span.

    Attributes:
        today: the thresholds of now.
        positions: from the rarest false alarms to the most frequent ones; none where there are no normal scores.
        supported: the fewest false alarms per hour that the normal footage supports; None where there is none.
        said: what one should know of it, in sentences.
    """

    today: Position
    positions: tuple[Position, ...]
    supported: float | None
    said: tuple[str, ...]


def dial(
    recorded: Recorded,
    settings: Settings,
    calibration: Calibration | None,
    normal_scores: Sequence[NormalScore],
    *,
    scene: str,
    fit: str,
    rates: Sequence[float] = RATES,
    progress: Progress = lambda share: None,
) -> Dial:
    """Returns what the detector would have said of a span at each position.

    Args:
        recorded: what the camera recorded in the span.
        settings, calibration: the scene's of now.
        normal_scores: the scene's, which thresholds are found by; may be none.
        scene: its name.
        fit: `fit_identity` of it; what was recorded with another fit is left out.
        rates: false alarms per hour.
        progress: told how much is done.
    """
    activity = recorded.activity
    runs = [run for run in activity.runs if (run.scene, run.fit) == (scene, fit)]
    ids = {run.id for run in runs}
    frames = [frame for frame in activity.frames if frame.run.id in ids]
    chosen = Thresholds(settings, calibration, normal_scores)
    wanted = [(None, chosen.today), *((rate, found) for rate in rates if (found := chosen.at(rate)) is not None)]
    replay = Replay(frames, recorded.source, settings.event)
    done: dict[tuple[tuple[ScoreKind, float], ...], tuple[Event, ...]] = {}
    positions = []
    for number, (rate, triggers) in enumerate(wanted):
        progress(number / len(wanted))
        key = tuple((trigger.kind, trigger.threshold) for trigger in triggers)
        if key not in done:
            done[key] = replay.events(triggers)
        supported = rate is None or rate >= chosen.supported * (1 - 1e-9)
        positions.append(Position(rate, triggers, supported, is_exact(runs, triggers, settings.event), done[key]))
    said = tuple(_said(recorded, runs, positions, chosen, settings))
    supported_rate = chosen.supported if math.isfinite(chosen.supported) else None
    return Dial(positions[0], tuple(positions[1:]), supported_rate, said)


class Thresholds:
    """The triggers of a scene for any rate of false alarms, as `calibrate` would set them.

    Attributes:
        today: those of now.
        supported: the fewest false alarms per hour that the footage supports; infinite where that is not known.
    """

    def __init__(
        self, settings: Settings, calibration: Calibration | None, normal_scores: Sequence[NormalScore]
    ) -> None:
        self._settings, self._calibration = settings, calibration
        self.today = triggers_of(settings.event, settings.score, calibration)
        self._finders: dict[ScoreKind, ThresholdFinder] = {}
        for trigger in self.today:
            try:
                self._finders[trigger.kind] = ThresholdFinder(normal_scores, trigger.kind, settings)
            except UserError:  # there are no such scores
                continue
        self.supported = max((one.supported for one in self._finders.values()), default=math.inf)

    @property
    def hours(self) -> float:
        """The length of the normal footage."""
        return max((one.hours for one in self._finders.values()), default=0.0)

    def at(self, rate: float) -> tuple[Trigger, ...] | None:
        """Returns the triggers for so many false alarms per hour; None where there is nothing to tell them by."""
        if self._calibration is None or not self._finders:
            return None
        found = {kind: finder.threshold(rate) for kind, finder in self._finders.items()}
        thresholds = {**self._calibration.thresholds, **found}
        calibration = self._calibration.model_copy(update={"thresholds": thresholds})
        return triggers_of(self._settings.event, self._settings.score, calibration)


class Replay:
    """Recorded frames for the detector, at any thresholds that are not below those that they were recorded for.

    Args:
        frames: in their order.
        source: name of the camera.
        settings: when an event begins and when it is over.
    """

    def __init__(self, frames: Sequence[ActiveFrame], source: str, settings: EventSettings) -> None:
        self._settings = settings
        self._runs: list[tuple[ActivityRun, list[Seen]]] = [
            (run, [(frame.scored(source), frame.boxes, frame.size) for frame in group])
            for run, group in groupby(frames, key=lambda frame: frame.run)
        ]

    def events(self, triggers: Sequence[Trigger]) -> tuple[Event, ...]:
        """Returns the events of all frames."""
        if not triggers:
            return ()
        found: dict[str, Event] = {}
        for run, frames in self._runs:
            for event in events_of(sifted(frames, triggers, self._settings), run, triggers, self._settings):
                found[event.id] = event
        return tuple(sorted(found.values(), key=lambda event: (event.start_wall is None, event.start_wall)))


def events_of(
    frames: Sequence[Seen], run: ActivityRun, triggers: Sequence[Trigger], settings: EventSettings
) -> Iterator[Event]:
    """Yields the events of a run, each as it is in the end."""
    detector = EventDetector(triggers, settings, smoothing=run.smoothing, level=run.level, size=(1, 1))
    for scored, boxes, size in frames:
        detector.size = size
        yield from (one.event for one in detector.update(scored, boxes) if one.kind == "close")
    yield from (one.event for one in detector.close())


def sifted(frames: Sequence[Seen], triggers: Sequence[Trigger], settings: EventSettings) -> list[Seen]:
    """Returns the frames that matter at these thresholds."""
    sieve, found = ActivitySieve(triggers, settings), list[Seen]()
    before: Seen | None = None
    for frame in frames:
        kept = sieve.kept(frame[0])
        if len(kept) == 2 and before is not None:
            found.append(before)
        if kept:
            found.append(frame)
        before = frame
    return found


def is_exact(runs: Sequence[ActivityRun], triggers: Sequence[Trigger], settings: EventSettings) -> bool:
    """Returns whether all that matters at these thresholds was recorded."""
    return all(
        not run.lost and run.leave <= settings.leave and trigger.threshold >= run.floors.get(trigger.kind, math.inf)
        for run in runs
        for trigger in triggers
    )


def _said(
    recorded: Recorded,
    runs: Sequence[ActivityRun],
    positions: Sequence[Position],
    chosen: Thresholds,
    settings: Settings,
) -> Iterator[str]:
    """Yields what one should know of the dial."""
    others = [run for run in recorded.activity.runs if run not in runs]
    if recorded.activity.is_empty:
        yield "Nothing was recorded that could be replayed: that begins with the next frame that is watched."
    elif not runs:
        yield "All that was recorded here was judged by another scene, or before the scene was fitted again."
    elif others:
        yield "What was judged by another scene, or before the scene was fitted again, is left out."
    if lost := sum(run.lost for run in runs):
        yield f"{lost} frames that matter could not be recorded: there may be alarms that are not shown."
    if any(not one.exact for one in positions) and not lost and runs:
        yield "Where it says “at least”, thresholds are lower than what was recorded for: there may be more alarms."
    if settings.score.threshold is not None:
        yield f"The settings give the threshold of {settings.score.kind} themselves: the dial does not change that."
    if len(positions) == 1:
        yield "The scene holds no scores of normal footage: fit it, or calibrate it with --normal, to choose a rate."
    else:
        yield (
            f"Thresholds rest on {span(chosen.hours)} of normal footage."
            if chosen.hours
            else ("The normal footage has no length, so no rate can be told.")
        )
