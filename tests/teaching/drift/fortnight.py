"""A fortnight of a camera, accelerated: rendered frames and drawn scores go into the real log of days."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.scenes.footage_facts import FootageFacts
from msflow_stream.series import SmoothedScore
from msflow_stream.teaching.drift.days import read_days
from msflow_stream.teaching.drift.drift import drift
from msflow_stream.teaching.drift.finding import Drift, Learnt
from msflow_stream.types import SCORE_KINDS, Frame, FrameScore, ScoreRow, Scores
from msflow_stream.video.motion import grey
from msflow_stream.video.view_signature import View
from msflow_stream.watch.outputs import day_log
from msflow_stream.watch.outputs.day_log import DayLog

FIRST = date(2026, 5, 4)
HOURS = (6, 9, 12, 15, 18, 21)  # watched
STEP = 180  # seconds between two frames
LIGHTS = {6: 0.5, 9: 0.9, 12: 1.0, 15: 0.95, 18: 0.7, 21: 0.45}  # of the sun, or of a lamp
THRESHOLD, NORMAL = 2.0, 1.0  # of scores
PROMISED = 0.1  # false alarms an hour
LEARNT = "fit"


@dataclass
class Changes:
    """What changes from day 8 on (days are counted from 1), as functions of day and hour."""

    light: Callable[[int, int], float] = lambda day, hour: LIGHTS[hour]
    shift: Callable[[int, int], float] = lambda day, hour: 0.0  # of the camera, as a share of the width
    rate: Callable[[int], float] = lambda day: PROMISED
    creep: Callable[[int], float] = lambda day: 0.0  # of scores
    hours: Callable[[int], Sequence[int]] = lambda day: HOURS


@dataclass
class Watched:
    """What stands for the way of watching, of which the log wants the names."""

    scene: str = "gate"
    fit: str = LEARNT
    kind: str = "paper"


@dataclass
class Fortnight:
    """A watched fortnight: its folder, its events, and what the scene learnt."""

    folder: Path
    learnt: Learnt
    events: list[tuple[datetime, str | None]] = field(default_factory=list)

    def on(self, day: int) -> Drift:
        """Returns what is said at the end of a day."""
        last = FIRST + timedelta(days=day - 1)
        return drift(read_days(self.folder, FIRST, last), self.learnt, [e for e in self.events if e[0].date() <= last])

    def cards(self) -> dict[str, int]:
        """Returns the first day of each kind of card."""
        found: dict[str, int] = {}
        for day in range(1, 15):
            for one in self.on(day).findings:
                found.setdefault(one.kind, day)
        return found


def accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the log take each of the few frames for what it stands for; what it sees of one image it sees once."""
    monkeypatch.setattr(day_log, "grey", _grey)
    monkeypatch.setattr(day_log, "MOST_STEP", STEP + 1.0)
    monkeypatch.setattr(day_log, "LIGHT_EVERY", float(STEP))
    monkeypatch.setattr(day_log, "VIEW_EVERY", 4.0 * STEP)
    monkeypatch.setattr(day_log, "FLUSH_EVERY", 1e9)  # at each hour's end


def watched(folder: Path, seed: int, changes: Changes | None = None) -> Fortnight:
    """Returns a fortnight of the seed."""
    changes, rng = changes or Changes(), np.random.default_rng(seed)
    found = Fortnight(folder, learnt_from_footage())
    log = DayLog(folder, "gate")
    hourly = {hour: rng.normal(0, 0.05) for hour in HOURS}
    index, alarm = 0, False
    for day in range(1, 15):
        daily = rng.normal(0, 0.015) + changes.creep(day)
        for hour in changes.hours(day):
            begin = datetime.combine(FIRST + timedelta(days=day - 1), datetime.min.time()).astimezone()
            for second in range(0, 3600, STEP):
                wall, index = begin + timedelta(hours=hour, seconds=second), index + 1
                score = NORMAL + daily + hourly[hour] + 0.12 * rng.standard_normal()
                if rng.random() < changes.rate(day) * STEP / 3600:
                    score = THRESHOLD + 0.5
                if score > THRESHOLD and not alarm:
                    found.events.append((wall, None))
                alarm = score > THRESHOLD
                pixels = seen(int(rng.integers(8)), changes.light(day, hour), changes.shift(day, hour))
                frame = Frame("gate", index, None, float(index), wall, pixels)
                log.write(frame, frame, *scored(frame, score, alarm), Watched())  # type: ignore[arg-type]
    log.close(30)
    return found


def scored(frame: Frame, score: float, alarm: bool) -> tuple[SmoothedScore, ScoreRow]:
    """Returns a frame's score and its row."""
    scores = Scores(score, score, score)
    empty: Any = np.zeros((1, 1), np.float16)
    one = FrameScore("gate", "gate", frame.index, frame.time, frame.wall, scores, empty)
    return SmoothedScore(one, dict.fromkeys(SCORE_KINDS, score)), ScoreRow(
        frame.index, frame.time, scores, score, THRESHOLD, int(alarm)
    )


@cache
def learnt_from_footage() -> Learnt:
    """What the facts of half an hour at each hour say."""
    facts = FootageFacts()
    for frame in _footage():
        facts.add(frame)
    view = facts._views.view()
    assert view is not None
    return Learnt(LEARNT, PROMISED, THRESHOLD - NORMAL, facts.coverage, View.from_json(view.to_json()))


def _footage() -> Iterator[Frame]:
    index = 0
    for hour in HOURS:
        for second in range(0, 60, 2):
            index += 1
            wall = datetime(2026, 5, 3, hour, 0, second).astimezone()
            yield Frame("gate", index, None, index * 2.0, wall, seen(index % 8, LIGHTS[hour], 0.0))


@cache
def seen(moment: int, light: float, shift: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Returns a frame of the synthetic place at one of a few moments, in a light, by a camera that was moved so far."""
    image = _place(moment)
    if shift:
        width = image.shape[1]
        matrix = np.array([[1.0, 0, shift * width], [0, 1, 0]])
        image = np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT), np.uint8)
    return np.clip(image * light, 0, 255).astype(np.uint8)


GREY: dict[int, Any] = {}  # by the image's identity; images are kept, so that each has its own


def _grey(pixels: Any) -> Any:
    key = id(pixels)
    if key not in GREY:
        GREY[key] = grey(pixels)
    return GREY[key]


@cache
def _place(moment: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return SyntheticScene(384, 256, traffic_seed=3).frame(moment * 250).image
