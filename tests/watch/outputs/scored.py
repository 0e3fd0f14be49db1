"""Scored frames for sinks, as they come from a camera: five a second, from a moment shortly before midnight UTC on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from msflow_stream.types import Frame, FrameScore, ScoreRow, Scores
from msflow_stream.video.drawing.overlay import OverlayStyle

START = datetime(2026, 11, 23, 23, 21, 38, tzinfo=UTC)
RATE = 5.0
STYLE = OverlayStyle(low=0.2, high=1.0, threshold=0.5)
PATIENCE = 30.0  # seconds, on a busy machine

Item = tuple[Frame, FrameScore, ScoreRow]


def noise(seed: int, size: tuple[int, int] = (64, 48)) -> npt.NDArray[np.uint8]:
    """A picture, height x width x 3, that no encoder makes small."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def scored(
    index: int,
    *,
    time: float | None = None,
    wall: datetime | None = None,
    image: npt.NDArray[np.uint8] | None = None,
    alarm: int = 0,
) -> Item:
    """The scored frame with this index, 1 / RATE seconds after the one before; picture and score are noise."""
    time = index / RATE if time is None else time
    wall = START + timedelta(seconds=time) if wall is None else wall
    image = noise(index) if image is None else image
    value = (index % 7) / 10
    anomaly_map = np.full((6, 8), value, np.float16)
    return (
        Frame("gate", index, None, time, wall, image),
        FrameScore("gate", "yard", index, time, wall, Scores(value, value, value), anomaly_map),
        ScoreRow(index, time, Scores(value, value / 2, value / 3), value / 4, 0.5, alarm, value / 5),
    )


def many(count: int, first: int = 0, **settings: object) -> Iterator[Item]:
    for index in range(first, first + count):
        yield scored(index, **settings)  # type: ignore[arg-type]


def eventually(true: Callable[[], bool]) -> None:
    """Waits for something to become true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
