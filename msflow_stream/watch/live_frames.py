"""The newest scored frame of each camera, drawn for those who look, when they look."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from time import monotonic, time_ns
from typing import Any

import cv2
import numpy as np

from msflow_stream.types import Frame, FrameScore, Image, ScoreKind, ScoreRow
from msflow_stream.video.drawing.jpeg import to_jpeg
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle
from msflow_stream.video.pixels import Planes, shrink

logger = logging.getLogger(__name__)

WIDTHS = (160, 320, 480, 640, 960, 1280)
QUALITY = 80  # of the JPEG, 0 to 100
LOOK_EVERY = 0.05  # seconds between two looks for a newer frame, while somebody waits for one
LONGEST_LOOK = 1.0  # seconds, after which it is asked again whether somebody waits
MOST_PAST = 2000  # scores that the timeline is drawn from
NICENESS = 10  # of the thread that draws


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A frame as somebody looks at it.

    Attributes:
        jpeg: the frame as a file.
        facts: what is known of it, as `NewestFrame.facts`.
    """

    jpeg: bytes
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewestFrame:
    """A scored frame that may be drawn.

    Attributes:
        sequence: tells it from the other frames of all cameras; a later one has a larger number, on any node whose
            clock is right, so that who waits for a newer frame gets one when its camera has moved.
    """

    sequence: int
    frame: Frame
    score: FrameScore
    row: ScoreRow
    style: OverlayStyle
    kind: ScoreKind

    def facts(self) -> dict[str, Any]:
        """Returns what is known of it, as JSON values."""
        frame, row, style = self.frame, self.row, self.style
        return {
            "sequence": self.sequence,
            "index": frame.index,
            "time": frame.time,
            "wall": None if frame.wall is None else frame.wall.astimezone(UTC).isoformat(),
            "smoothed": finite(row.smoothed),
            "threshold": finite(row.threshold),
            "level": style.level(row.smoothed),
            "threshold_level": style.level(row.threshold) if math.isfinite(row.threshold) else None,
            "alarm": bool(row.alarm),
            "probability": finite(row.probability),
            "kind": self.kind,
        }


class RisingNumbers:
    """Numbers that grow: milliseconds, or the next one where there was one in this millisecond; for any thread."""

    def __init__(self) -> None:
        self._lock, self._last = threading.Lock(), 0

    def __call__(self) -> int:
        """Returns the next number."""
        with self._lock:
            self._last = max(self._last + 1, time_ns() // 10**6)
            return self._last


class LiveCamera:
    """The newest frame of one camera, and the scores of the recent past; written by one thread, read by others."""

    def __init__(self, sequence: Callable[[], int]) -> None:
        self._sequence = sequence
        self._past: deque[tuple[float, float]] = deque(maxlen=MOST_PAST)
        self.newest: NewestFrame | None = None

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow, style: OverlayStyle, kind: ScoreKind) -> None:
        """Takes the place of the frame before; costs next to nothing."""
        self._past.append((frame.time, row.smoothed))
        self.newest = NewestFrame(self._sequence(), frame, score, row, style, kind)

    def past(self, until: float, seconds: float) -> list[tuple[float, float]]:
        """Returns times and smoothed scores of so many seconds before a time, the oldest first."""
        past = list(self._past)  # at once: others are added meanwhile
        return [(time, value) for time, value in past if until - seconds <= time < until]


class LiveFrames:
    """The newest frames of all cameras. To be closed.

    Nothing is drawn before somebody asks, and then once per frame and width for all who ask, small, in a thread that
    lets others go first.
    """

    def __init__(self) -> None:
        self._sequence = RisingNumbers()
        self._cameras: dict[str, LiveCamera] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._drawn: dict[tuple[str, int, bool], tuple[int, asyncio.Future[bytes]]] = {}  # the last of each
        self._pool = ThreadPoolExecutor(1, "live frames", initializer=_stand_back)
        self._closed = threading.Event()

    def open(self, name: str) -> LiveCamera:
        """Returns where the frames of a camera go from now on."""
        camera = self._cameras[name] = LiveCamera(self._sequence)
        return camera

    def forget(self, name: str) -> None:
        """Lets go of the frame of a camera that is watched no longer."""
        self._cameras.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return name in self._cameras

    async def shown(self, name: str, width: int, after: int, seconds: float, plain: bool) -> ShownFrame | None:
        """Returns the newest frame of a camera, drawn, when it is newer than `after`; None where that takes longer.

        Raises:
            KeyError: there is no such camera.
        """
        if name not in self:
            raise KeyError(name)
        live = await self.newer(name, after, seconds)
        return None if live is None else ShownFrame(await self.jpeg(name, live, width, plain), live.facts())

    async def newer(self, name: str, after: int, seconds: float) -> NewestFrame | None:
        """Returns the newest frame of a camera when it is newer than `after`; None where that takes longer."""
        end = monotonic() + seconds
        while True:
            newest = self._newest(name)
            if newest is not None and newest.sequence > after:
                return newest
            left = end - monotonic()
            if left <= 0 or self._closed.is_set():
                return None
            await asyncio.wait({self._look(name, newest)}, timeout=left)

    def _look(self, name: str, known: NewestFrame | None) -> asyncio.Task[None]:
        """Returns what ends with the frame of a camera after a known one: one look at it for all who wait."""
        look = self._looks.get(name)
        if look is None or look.done():
            self._looks = {other: one for other, one in self._looks.items() if not one.done()}
            look = self._looks[name] = asyncio.get_running_loop().create_task(self._looked(name, known))
        return look

    async def _looked(self, name: str, known: NewestFrame | None) -> None:
        end = monotonic() + LONGEST_LOOK
        while self._newest(name) is known and monotonic() < end and not self._closed.is_set():
            await asyncio.sleep(LOOK_EVERY)

    def _newest(self, name: str) -> NewestFrame | None:
        camera = self._cameras.get(name)
        return None if camera is None else camera.newest

    async def jpeg(self, name: str, live: NewestFrame, width: int, plain: bool = False) -> bytes:
        """Returns a frame of a camera as JPEG, about as wide, with its overlay unless it is to be plain.

        All calls are to come from one event loop.
        """
        last = self._drawn.get((name, width, plain))
        if last is None or last[0] != live.sequence:
            self._drawn = {key: drawn for key, drawn in self._drawn.items() if key[0] in self}
            camera = self._cameras.get(name)
            past = [] if camera is None or plain else camera.past(live.frame.time, live.style.history)
            drawing = asyncio.get_running_loop().run_in_executor(self._pool, draw, live, width, past, plain)
            last = self._drawn[name, width, plain] = live.sequence, drawing
        return await asyncio.shield(last[1])  # others wait for it too

    def close(self) -> None:
        """Has nobody wait any longer."""
        self._closed.set()
        self._pool.shutdown(wait=False)


def draw(live: NewestFrame, width: int, past: list[tuple[float, float]], plain: bool) -> bytes:
    """Returns a frame as JPEG: made small first, then drawn on."""
    height, whole = live.frame.shape[:2]
    width = min(width, whole)
    image = quick_rgb(shrink(live.frame.pixels, (max(1, round(height * width / whole)), width)))
    if not plain and all(map(math.isnan, live.score.scores)):  # it has no scene yet
        image = Overlay(live.style).draw(image, None, None, live.frame.time, alarm=False)
    elif not plain:
        overlay = Overlay(live.style)
        for time, value in past:
            overlay.remember(time, value, width)
        row = live.row
        image = overlay.draw(image, live.score, row.smoothed, live.frame.time, alarm=bool(row.alarm))
    return to_jpeg(image, QUALITY)


def quick_rgb(planes: Planes) -> Image:
    """Returns `planes.rgb()` to within one level of 255, in a tenth of its time."""
    return np.asarray(cv2.transform(cv2.merge(list(planes.values)), planes.matrix), np.uint8)


def finite(value: float | None) -> float | None:
    """Returns a number as JSON can hold it: None for what is not finite."""
    return value if value is not None and math.isfinite(value) else None


def _stand_back() -> None:
    """Lowers the priority of the present thread, where the system can."""
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
