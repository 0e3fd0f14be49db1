"""Scored frames for detectors, five a second, and what a detector says of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.series import ScoreSmoother
from msflow_stream.types import Event, EventMessage, FrameScore, Scores

STEP = 0.2
START = datetime(2026, 11, 23, 23, 21, 38, 200_000, tzinfo=UTC)
COLD = np.zeros((4, 6), np.float16)
PAPER = Trigger("paper", 2.0, normal=0.0)  # leaves at 1 with leave=0.5
SURPRISE = Trigger("surprise", 20.0, normal=0.0)
SETTINGS = EventSettings(leave=0.5, min_duration=0.4, cool_down=1.0)


def scored(
    number: int,
    paper: float = 0.0,
    surprise: float = 0.0,
    *,
    time: float | None = None,
    heat: npt.NDArray[np.float16] = COLD,
    live: bool = False,
    wall: datetime | None = None,
) -> FrameScore:
    """The frame with this number, of a file's every fifth frame or of a camera's."""
    time = number * STEP if time is None else time
    wall = START + timedelta(seconds=time) if live else wall
    return FrameScore("gate", "yard", 5 * number, time, wall, Scores(paper, surprise, math.nan), heat)


class SmoothedDetector:
    """A detector of events and what smooths the scores for it."""

    def __init__(self, triggers: Sequence[Trigger], settings: EventSettings, smoothing: float) -> None:
        self._smoother = ScoreSmoother(smoothing)
        self._detector = EventDetector(triggers, settings, smoothing=smoothing, level=1.0, size=(60, 40))

    @property
    def open_event(self) -> Event | None:
        return self._detector.open_event

    def resize(self, size: tuple[int, int]) -> None:
        self._detector.size = size

    def update(self, score: FrameScore) -> list[EventMessage]:
        return self._detector.update(self._smoother(score))

    def close(self) -> list[EventMessage]:
        return self._detector.close()


def detector(
    triggers: Sequence[Trigger] = (PAPER,), settings: EventSettings = SETTINGS, smoothing: float = 0.0
) -> SmoothedDetector:
    return SmoothedDetector(triggers, settings, smoothing)


def heard(detector: SmoothedDetector, scores: Iterable[FrameScore]) -> list[EventMessage]:
    """All messages, the source having ended."""
    return [message for score in scores for message in detector.update(score)] + detector.close()


def papers(*values: float) -> list[EventMessage]:
    """What is said of a series of the paper's score."""
    return heard(detector(), [scored(number, value) for number, value in enumerate(values)])


def closed(messages: Sequence[EventMessage]) -> list[Event]:
    return [message.event for message in messages if message.kind == "close"]


def spans(messages: Sequence[EventMessage]) -> list[tuple[int, int]]:
    """Numbers of the first and last frame of each closed event."""
    return [(round(event.start / STEP), round((event.end or 0) / STEP)) for event in closed(messages)]


def kinds(messages: Sequence[EventMessage]) -> list[str]:
    return [message.kind for message in messages]
