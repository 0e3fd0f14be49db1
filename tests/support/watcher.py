"""A supervised camera for tests that wait for what it delivers and says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import Any

from msflow_stream.config.cameras import Backoff, CameraSettings
from msflow_stream.types import Frame
from msflow_stream.video.live.camera_reader import CameraReader
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import State
from tests.support.videos import read_code

PATIENCE = 20.0  # seconds, on a busy machine; no test passes or fails by how long something took


class Watcher:
    """A supervised camera, what it delivered and said."""

    def __init__(self, url: str, **options: Any) -> None:
        self.frames: list[Frame] = []
        self.segments: list[int] = []
        self.news: list[tuple[State, Fault | None, str]] = []
        self._changed = threading.Condition()
        defaults = {"every": 1, "open_timeout": 5.0, "read_timeout": 5.0, "backoff": Backoff(first=0.05, ceiling=0.2)}
        self.camera = CameraReader(
            url, self._deliver, random=Random(0), settings=CameraSettings(**{**defaults, **options})
        )
        self.camera.observe(self._note)

    def _deliver(self, frame: Frame) -> None:
        with self._changed:
            self.frames.append(frame)
            self.segments.append(self.camera.status().segment or 0)
            self._changed.notify_all()

    def _note(self, old: State, new: State, reason: str) -> None:
        with self._changed:
            self.news.append((new, self.camera.status().fault, reason))
            self._changed.notify_all()

    def until(self, true: Callable[[], bool]) -> None:
        """Waits for something to become true."""
        with self._changed:
            assert self._changed.wait_for(true, PATIENCE), (self.news, len(self.frames), self.camera.status())

    def until_frames(self, count: int) -> None:
        """Waits for so many more frames."""
        wanted = len(self.frames) + count
        self.until(lambda: len(self.frames) >= wanted)

    def until_fault(self, state: State, fault: Fault) -> None:
        self.until(lambda: any(new[:2] == (state, fault) for new in self.news))

    @property
    def codes(self) -> list[int]:
        """What the frames say that they are, -1 where one cannot be read."""
        codes = [read_code(frame.image) for frame in self.frames]
        return [-1 if code is None else code for code in codes]

    def __enter__(self) -> Watcher:
        self.camera.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.camera.stop()
