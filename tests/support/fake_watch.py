"""A watch for tests of what shows it: it gives frames of a constant image, as many a second as wanted."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from msflow_stream.web.watch_client import LiveFrame, WatchAway, WatchClient


class FakeWatch(WatchClient):
    """A client without a watch behind it.

    Attributes:
        cameras: their names.
        interval: seconds from one frame of a camera to the next.
        stalled: cameras that give no further frame.
        alarms: cameras that raise an alarm.
        away: whether no watch runs.
        asked: number of requests for frames, by camera and width.
        pending: number of requests that are waiting.
    """

    def __init__(self, cameras: Sequence[str], interval: float = 0.2) -> None:
        super().__init__(Path("/nowhere"))
        self.cameras, self.interval = list(cameras), interval
        self.stalled: dict[str, int] = {}
        self.alarms: set[str] = set()
        self.away = False
        self.asked: Counter[tuple[str, int]] = Counter()
        self.reports = self.pending = 0
        self._began = time.monotonic() - interval

    def sequence(self, camera: str) -> int:
        """Number of a camera's newest frame."""
        return self.stalled.get(camera, int((time.monotonic() - self._began) / self.interval))

    async def frame(
        self, camera: str, width: int, after: int = -1, wait: float = 0.0, plain: bool = False
    ) -> LiveFrame | None:
        if self.away:
            raise WatchAway("no watch runs")
        self.asked[camera, width] += 1
        self.pending += 1
        try:
            end = time.monotonic() + wait
            while self.sequence(camera) <= after:
                if time.monotonic() >= end:
                    return None
                await asyncio.sleep(0.02)
            return LiveFrame(jpeg(width), self._facts(camera))
        finally:
            self.pending -= 1

    def _facts(self, camera: str) -> dict[str, Any]:
        number = self.sequence(camera)
        alarm = camera in self.alarms
        level = 0.8 if alarm else 0.25 + 0.1 * np.sin(number / 7 + len(camera))
        return {
            "sequence": number,
            "index": number * 5,
            "time": number * self.interval,
            "wall": datetime.now(UTC).isoformat(),
            "smoothed": 4 * level,
            "threshold": 2.0,
            "level": level,
            "threshold_level": 0.5,
            "alarm": int(alarm),
            "probability": 1e-6 if alarm else 0.02,
            "kind": "combined",
        }

    async def report(self) -> dict[str, Any]:
        if self.away:
            raise WatchAway("no watch runs")
        self.reports += 1
        return {"started": "2026-01-01T00:00:00Z", "cameras": [self._camera(name) for name in self.cameras]}

    def _camera(self, name: str) -> dict[str, Any]:
        facts = self._facts(name)
        stalled = name in self.stalled
        return {
            "name": name,
            "scene": "yard",
            "state": "stalled" if stalled else "running",
            "fault": None,
            "reason": "no frame for 5.0 s; look at the network" if stalled else "frames come",
            "width": 1280,
            "height": 720,
            "last_wall": facts["wall"],
            "last": {**facts, "scores": {}},
            "event": f"{name}-1" if name in self.alarms else None,
        }

    async def aclose(self) -> None:
        pass


@cache
def jpeg(width: int) -> bytes:
    """An image about as large as an overlay's: 35 KB at 480 pixels."""
    noise = np.random.default_rng(1).integers(0, 256, (width * 9 // 16, width, 3), np.uint8)
    smooth = Image.fromarray(noise).resize((width // 3, width * 3 // 16)).resize((width, width * 9 // 16))
    file = io.BytesIO()
    smooth.save(file, "jpeg", quality=72)
    return file.getvalue()
