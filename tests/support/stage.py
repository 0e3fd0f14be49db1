"""A camera over RTSP at which something happens when a test wants it to, and what a watch tells of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.video.reading.video_reader import VideoReader
from pipelines.fit import FitJob, fit
from tests.support.footage import small_settings
from tests.support.rtsp import RtspCamera, write_units
from tests.support.videos import write_video
from tests.support.watching import Watching, until

# Events begin and end soon. The threshold is half way between the highest score of normal frames, 0.0451, and the
# lowest of those that are `struck`, 0.0470.
PROMPT = (
    "score.kind=paper",
    "score.threshold=0.046",
    "score.smoothing=0.1",
    "event.triggers=[paper]",
    "event.min_duration=0.2",
    "event.cool_down=0.6",
)
LONG = 2.0  # seconds without a score; who waited for a receiver that is away would wait for longer
LINES = {"lines": {"type": "jsonl", "file": "told.jsonl"}}  # as the alerts of a cameras file


def fit_scene(normal: Path, scenes: Path) -> Path:
    """Fits scene `gate` to normal footage; returns the folder of scenes."""
    fit([str(normal)], scenes / "gate", small_settings("fit.passes=6", *PROMPT), FitJob(device="cpu"))
    return scenes


def struck(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture with something in the middle of it that is never there."""
    image = image.copy()
    image[20:36, 30:46] = 255 - image[20:36, 30:46]
    return image


class Stage:
    """Shows normal footage, and from `begin` to `end` the same with something wrong. A context manager."""

    def __init__(self, normal: Path, folder: Path) -> None:
        with VideoReader(normal) as reader:
            images = [frame.image for frame in reader]
        self._calm, self._wrong = (
            write_units(write_video(folder / f"{name}.h264", images=pictures, format="h264"), folder / f"{name}.units")
            for name, pictures in (("calm", images), ("wrong", map(struck, images)))
        )
        self._server = RtspCamera(self._calm)

    @property
    def camera(self) -> dict[str, Any]:
        """As in a cameras file."""
        return {"url": self._server.url, "scene": "gate"}

    def begin(self) -> None:
        self._server.play(self._wrong)

    def end(self) -> None:
        self._server.play(self._calm)

    def __enter__(self) -> Stage:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()


class Told:
    """What a watch has told by LINES. Its camera is `gate`."""

    def __init__(self, watch: Watching, stage: Stage) -> None:
        self.watch, self._stage = watch, stage

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All so far."""
        path = self.watch.config.parent / "told.jsonl"
        return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []

    def of(self, id: str) -> list[tuple[str, int]]:
        """What was told of one event: kinds and versions."""
        return [(one["kind"], one["event"]["version"]) for one in self.messages if one["event"]["id"] == id]

    def begin(self) -> str:
        """Has something happen; returns the id of the event once it is told."""
        known = {one["event"]["id"] for one in self.messages}
        self._stage.begin()

        def new() -> str | None:
            return next((one["event"]["id"] for one in self.messages if one["event"]["id"] not in known), None)

        return until(new, "no event is told") or ""

    def end(self, id: str) -> None:
        """Has it end; returns once that is told."""
        self._stage.end()
        until(lambda: "close" in [kind for kind, _ in self.of(id)], f"the end of {id} is not told")

    @contextmanager
    def undelayed(self) -> Iterator[None]:
        """What happens inside, for some seconds, costs the camera no score."""
        self.watch.wait_for_scores("gate")
        first = len(self.watch.rows("gate")) - 1
        connections = self.watch.metric("msflow_reconnects_total", camera="gate")
        yield
        self.watch.wait_for_scores("gate")
        times = [float(row["time"]) for row in self.watch.rows("gate")[first:]]
        assert max(b - a for a, b in pairwise(times)) < LONG
        missing = round((times[-1] - times[0]) / 0.2) + 1 - len(times)
        assert missing <= self.watch.total("msflow_frames_dropped_total", camera="gate")
        assert self.watch.metric("msflow_reconnects_total", camera="gate") == connections
