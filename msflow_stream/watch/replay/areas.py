"""Other areas for a camera: which of its last alarms would have been raised with them, estimated from coarse maps.

A score is made of the largest values of a map inside the area, and the map of each frame that matters was recorded,
coarsely. What lies above the frame's own middle and is left by other areas tells about how much of the score is left.
A coarse cell holds only the largest value of its pixels, so where the edge of an area goes through it, that value may
be inside or outside: both are tried. An alarm that is raised with one of them and not with the other, or only just,
cannot be told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import ValidationError

from msflow_stream.config.cameras import Camera
from msflow_stream.config.settings import Settings
from msflow_stream.events.detection.triggers import Trigger, triggers_of
from msflow_stream.events.store import StoredEvent
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.folder import fit_identity, read_record, scene_folder, stored_settings
from msflow_stream.series import SmoothedScore, Smoother
from msflow_stream.types import Box, Event, Scores, UserError
from msflow_stream.watch.areas import area_mask
from msflow_stream.watch.outputs.activity_file import ACTIVITY
from msflow_stream.watch.replay.activity import ActiveFrame, Activity
from msflow_stream.watch.replay.coarse_maps import Cells, Mask, cells_of, share_left
from msflow_stream.watch.replay.dial import events_of

Polygons = Sequence[Sequence[tuple[float, float]]]
Verdict = Literal["stays", "goes", "unknown"]

USUAL_SIZE = (256, 384)  # of a scene that cannot be read
MARGIN = 0.2  # of what is left of a score: by so much may the estimate be off
AROUND = 3.0  # seconds before and behind an event that its frames are looked for in
CLOCK = timedelta(minutes=1)  # by so much may the arrival of an event's frames and its own time differ


class Areas(NamedTuple):
    """The areas of a camera, as in the cameras file."""

    watch: Polygons = ()
    ignore: Polygons = ()
    privacy: Polygons = ()

    @classmethod
    def of(cls, camera: Camera) -> Self:
        """Returns those of a camera."""
        return cls(camera.watch, camera.ignore, camera.privacy)

    def mask(self, size: tuple[int, int]) -> Mask:
        """Returns the pixels that are watched, of an image of a height and width.

        Raises:
            UserError: there are none.
        """
        mask = area_mask(self.watch, self.ignore, size)
        return np.ones(size, np.bool_) if mask is None else mask


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that was raised.

    Attributes:
        verdict: stays: it would be raised with the other areas, too; goes: it would not.
        why: why it cannot be told, or what tells it.
    """

    id: str
    when: datetime
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class AreasReplay:
    """What other areas would have meant.

    Attributes:
        alarms: the newest first.
        said: the same in a sentence.
        notes: what else a person should know.
    """

    alarms: Sequence[Alarm]
    said: str
    notes: Sequence[str]


class SceneFacts(NamedTuple):
    """What the replay needs of a scene: its settings, its triggers, and what tells its fit from others."""

    settings: Settings
    triggers: Sequence[Trigger]
    fit: str

    @classmethod
    def read(cls, scenes: Path, name: str) -> Self | None:
        """Returns those of a scene as it is now, None where it cannot be read."""
        try:
            record = read_record(scene_folder(scenes, name))
            settings, calibration = stored_settings(record), record.get("calibration")
            calibrated = None if calibration is None else Calibration.model_validate(calibration)
        except (UserError, ValidationError, KeyError):
            return None
        return cls(settings, triggers_of(settings.event, settings.score, calibrated), fit_identity(record))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the maps."""
        height, width = self.settings.input.size
        return height, width


def check_areas(areas: Areas, scenes: Path, names: Sequence[str]) -> None:
    """Checks that areas leave something to watch.

    Raises:
        UserError: they do not.
    """
    facts = (SceneFacts.read(scenes, name) for name in names)
    for size in {USUAL_SIZE if one is None else one.size for one in facts} or {USUAL_SIZE}:
        areas.mask(size)


def replay_areas(
    folder: Path, events: Sequence[StoredEvent], scenes: Path, now: Areas, new: Areas, activity: Activity | None = None
) -> AreasReplay:
    """Returns which alarms of a camera would have been raised with other areas.

    Args:
        folder: the camera's, with its activity.
        events: the alarms, the newest first.
        scenes: the folder of the scenes.
        now: the areas that they were raised with.
        new: the other ones.
        activity: what was recorded; read from the folder if None.

    Raises:
        UserError: the new areas leave nothing to watch.
    """
    if _alike(now, new):
        alarms = [Alarm(one.event.id, one.happened, "stays", "the same is watched") for one in events]
        return AreasReplay(alarms, "All alarms would be raised as before: the same is watched.", ())
    facts = {name: SceneFacts.read(scenes, name) for name in {one.event.scene for one in events}}
    if activity is None:
        activity = _read(folder, events) if events else Activity()
    alarms = [_judge(one, activity, facts[one.event.scene], new) for one in events]
    notes = ["This is an estimate, from what is left of each frame's coarse map of unusual places."]
    if all(alarm.verdict == "unknown" for alarm in alarms):
        notes = []
    if (new.mask(USUAL_SIZE) & ~now.mask(USUAL_SIZE)).any():
        notes.append("What would have been raised where nothing was watched before cannot be told.")
    return AreasReplay(alarms, sentence(alarms), notes)


def _alike(now: Areas, new: Areas) -> bool:
    return bool((now.mask(USUAL_SIZE) == new.mask(USUAL_SIZE)).all())


def _read(folder: Path, events: Sequence[StoredEvent]) -> Activity:
    starts = [one.happened for one in events]
    ends = [one.happened + timedelta(seconds=_seconds(one)) for one in events]
    return Activity.read(folder / ACTIVITY, min(starts) - 2 * CLOCK, max(ends) + 2 * CLOCK)


def _seconds(stored: StoredEvent) -> float:
    event = stored.event
    return 0.0 if event.end is None else event.end - event.start


def sentence(alarms: Sequence[Alarm]) -> str:
    """Returns what becomes of the alarms.

    >>> when = datetime(2026, 1, 1)
    >>> sentence([Alarm("a", when, "goes", ""), Alarm("b", when, "stays", ""), Alarm("c", when, "unknown", "")])
    '1 of the last 3 alarms would not have been raised; for 1 it cannot be told.'
    """
    if not alarms:
        return "There was no alarm yet that this could be tried on."
    gone, unknown = (sum(one.verdict == verdict for one in alarms) for verdict in ("goes", "unknown"))
    if len(alarms) == 1:
        one = {
            "goes": "would not have been raised",
            "stays": "would have been raised, too",
            "unknown": "cannot be told of",
        }
        return f"The last alarm {one[alarms[0].verdict]}."
    of = f"the last {len(alarms)} alarms"
    if unknown == len(alarms):
        return f"It cannot be told which of {of} would have been raised."
    if gone:
        said = f"{gone} of {of} would not have been raised"
    else:
        said = f"{'All' if not unknown else len(alarms) - unknown} of {of} would have been raised, too"
    return said + (f"; for {unknown} it cannot be told." if unknown else ".")


def _judge(stored: StoredEvent, activity: Activity, facts: SceneFacts | None, new: Areas) -> Alarm:
    verdict, why = _verdict(stored.event, list(_frames_of(stored, activity)), facts, new)
    return Alarm(stored.event.id, stored.happened, verdict, why)


def _verdict(event: Event, frames: Sequence[ActiveFrame], facts: SceneFacts | None, new: Areas) -> tuple[Verdict, str]:
    if facts is None:
        return "unknown", "its scene cannot be read"
    if not any(frame.map is not None for frame in frames):
        return "unknown", "no maps of its time were recorded"
    run = frames[0].run
    if run.fit != facts.fit:
        return "unknown", "its scene was fitted again since"
    before, after = Areas(**json.loads(run.area)).mask(facts.size), new.mask(facts.size)
    if not _raised(event, frames, before, [1.0] * len(frames), facts):
        return "unknown", "with the thresholds of today it would not be raised anyway"
    if not (before & ~after).any():
        return "stays", "all that was watched then still is"
    least, most = zip(*_left(frames, before, after, facts.settings.score.top_k), strict=True)
    if _raised(event, frames, after, [share - MARGIN * max(0.0, 1 - share) for share in least], facts):
        return "stays", "enough of what was unusual is still watched"
    if not _raised(event, frames, after, [share + MARGIN * min(1.0, share) for share in most], facts):
        return "goes", "what was unusual is no longer watched"
    return "unknown", "an edge goes through what was unusual, or only just enough of it is left"


def _frames_of(stored: StoredEvent, activity: Activity) -> Iterator[ActiveFrame]:
    """Yields the frames of an event."""
    event, seconds = stored.event, _seconds(stored)
    first, last = stored.happened - CLOCK, stored.happened + timedelta(seconds=seconds) + CLOCK
    for frame in activity.frames:
        in_time = event.start - AROUND <= frame.time <= event.start + seconds + AROUND
        if in_time and first.timestamp() <= frame.wall <= last.timestamp() and frame.run.scene == event.scene:
            yield frame


def _left(frames: Sequence[ActiveFrame], before: Mask, after: Mask, top: float) -> Iterator[tuple[float, float]]:
    """Yields the least and the most share of each frame's score that is left."""
    heat, found, kept = None, (1.0, 1.0), dict[tuple[int, ...], tuple[Cells, Cells]]()
    for frame in frames:
        if frame.map is not None:  # else it is the one before: the frame showed nothing new
            heat = frame.map.astype(np.float64)
            if heat.shape not in kept:
                kept[heat.shape] = cells_of(before, heat.shape), cells_of(before & after, heat.shape)
            found = share_left(heat, *kept[heat.shape], top)
        yield found


def _raised(
    event: Event, frames: Sequence[ActiveFrame], mask: Mask, shares: Sequence[float], facts: SceneFacts
) -> bool:
    """Returns whether the detector that watches raises an alarm in an event where such shares of the scores are left.

    Args:
        mask: the pixels that are watched; regions that have none are none.
    """
    lessened = _Lessened(facts.triggers, frames[0].run.smoothing)
    seen = [
        (lessened(frame, share), _boxes_in(mask, frame), frame.size)
        for frame, share in zip(frames, shares, strict=True)
    ]
    found = events_of(seen, frames[0].run, facts.triggers, facts.settings.event)
    last = math.inf if event.end is None else event.end
    return any(one.start <= last and (one.end is None or one.end >= event.start) for one in found)


def _boxes_in(mask: Mask, frame: ActiveFrame) -> tuple[Box, ...]:
    """Returns the regions of a frame that a mask leaves anything of."""
    down, across = mask.shape[0] / frame.size[1], mask.shape[1] / frame.size[0]

    def is_watched(box: Box) -> bool:
        x, y, width, height = box
        rows = slice(int(y * down), math.ceil((y + height) * down))
        return bool(mask[rows, int(x * across) : math.ceil((x + width) * across)].any())

    return tuple(box for box in frame.boxes if is_watched(box))


class _Lessened:
    """The scores of frames, and the smoothed ones, with only a share of what is above normal."""

    def __init__(self, triggers: Sequence[Trigger], smoothing: float) -> None:
        self._normal = {trigger.kind: trigger.normal or 0.0 for trigger in triggers}
        self._smoothers = {kind: (Smoother(smoothing), Smoother(smoothing)) for kind in self._normal}

    def __call__(self, frame: ActiveFrame, share: float) -> SmoothedScore:
        scored = frame.scored("")
        scores, smoothed = scored.score.scores, dict(scored.smoothed)
        for kind, normal in self._normal.items():
            value = scores.of(kind)
            if not math.isfinite(value):
                continue
            excess = value - normal
            whole, left = (
                smoother(frame.time, one)
                for smoother, one in zip(
                    self._smoothers[kind], (max(excess, 0.0), max(excess, 0.0) * share), strict=True
                )
            )
            scores = Scores(**{**scores._asdict(), kind: normal + excess * share})
            smoothed[kind] = normal + (smoothed[kind] - normal) * (left / whole if whole > 0 else share)
        return SmoothedScore(replace(scored.score, scores=scores), smoothed)
