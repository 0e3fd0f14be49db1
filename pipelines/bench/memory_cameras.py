"""Cameras in memory for `bench scale`: the real stream and scenes, without decoding and resizing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from msflow_stream.config.loading import load, override
from msflow_stream.config.settings import Settings
from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.inference import Inference
from msflow_stream.scoring.scorer import IN_FLIGHT, ScoreRequest, score_batch
from msflow_stream.stream.contract import Deliver, Limits
from msflow_stream.stream.runner import StreamRunner
from msflow_stream.types import Frame, FrameScore, UserError

from .machine import Spent, spent

IMAGES = 8
STARTING = 0.1  # seconds that the threads of live cameras have before the first frame


@dataclass(frozen=True, slots=True)
class Live:
    """Cameras that show frames at fixed times.

    Attributes:
        offered: frames of all cameras.
        seconds: from the first frame to the last score.
        latencies: seconds from a frame's arrival to the delivery of its score.
        behind: by camera, seconds from when each delivered frame was due to that delivery: the arrival of a frame is
            late, too, where cameras wait for the machine.
    """

    offered: int
    seconds: float
    latencies: npt.NDArray[np.float64]
    behind: Mapping[str, npt.NDArray[np.float64]]

    @property
    def delivered_per_s(self) -> float:
        """Frames delivered per second."""
        return len(self.latencies) / self.seconds

    @property
    def dropped(self) -> float:
        """The share of the frames that a newer one took the place of."""
        return 1 - len(self.latencies) / self.offered

    @property
    def least_scored(self) -> float:
        """The share of its frames that the camera with the fewest scores got."""
        return min(len(times) for times in self.behind.values()) * len(self.behind) / self.offered

    @property
    def most_behind(self) -> float:
        """Seconds that the camera with the latest score was behind live then; nan if a camera got none."""
        return max((float(times.max()) if len(times) else float("nan")) for times in self.behind.values())

    def percentile(self, percent: float) -> float:
        """Returns a percentile of the latencies in milliseconds; nan if no frame was delivered."""
        return 1000 * float(np.percentile(self.latencies, percent)) if len(self.latencies) else float("nan")


class MemoryCameras:
    """Cameras that show frames from memory, over the scenes of a cache in turn.

    Args:
        cache: scenes, all of one input size.
        names: names of the scenes.
        count: number of cameras.
        batch: frames scored at once, at most.
        inference: what runs the networks; the scenes' own modules if None.

    Attributes:
        scenes: by camera.
    """

    def __init__(
        self, cache: SceneCache, names: Sequence[str], count: int, batch: int, inference: Inference | None = None
    ) -> None:
        self.scenes: dict[str, Scene] = {f"camera {i}": cache.get(names[i % len(names)]) for i in range(count)}
        first = next(iter(self.scenes.values()))
        self._images, self._device = images(first.settings.input.size), cache.device
        self._batch, self._inference = batch, inference

    def all_at_once(self, frames: int) -> Spent:
        """Returns the time that frames of all cameras take where none has to be waited for."""
        count = len(self.scenes)
        shares = {name: frames // count + (i < frames % count) for i, name in enumerate(self.scenes)}
        return spent(lambda: self._run({name: self._frames(name, share) for name, share in shares.items()}))

    def live(self, rate: float, seconds: float) -> Live:
        """Returns what becomes of frames that come `rate` times a second from each camera; the newest waits."""
        arrived: dict[tuple[str, int], float] = {}
        latencies: list[float] = []
        behind: dict[str, list[float]] = {name: [] for name in self.scenes}
        count, each = len(self.scenes), max(1, round(rate * seconds))
        begin = time.perf_counter() + STARTING
        phases = {name: i / count for i, name in enumerate(self.scenes)}

        def due(name: str, index: int) -> float:
            return begin + (phases[name] + index) / rate

        def shown(name: str) -> Iterator[Frame]:
            for frame in self._frames(name, each):
                time.sleep(max(0.0, due(name, frame.index) - time.perf_counter()))
                arrived[name, frame.index] = time.perf_counter()
                yield frame

        def deliver(name: str, frame: Frame, _: FrameScore | None) -> None:
            now = time.perf_counter()
            latencies.append(now - arrived[name, frame.index])
            behind[name].append(now - due(name, frame.index))

        self._run({name: shown(name) for name in self.scenes}, deliver, live=True)
        times = {name: np.array(values) for name, values in behind.items()}
        return Live(count * each, time.perf_counter() - begin, np.array(latencies), times)

    def _run(self, sources: Mapping[str, Iterator[Frame]], deliver: Deliver | None = None, live: bool = False) -> None:
        """Runs all sources to their ends.

        Raises:
            Exception: what one of them failed with.
        """
        errors: list[Exception | None] = []
        engine = StreamRunner(
            self._score,
            deliver or (lambda name, frame, score: None),
            lambda name, error: errors.append(error),
            Limits(batch=self._batch, scorers=1 if self._device.type == "cpu" else IN_FLIGHT),
        )
        with engine:
            for name, frames in sources.items():
                engine.add(name, frames, live)
        for error in errors:
            if error is not None:
                raise error

    def _score(self, batch: Sequence[tuple[str, Frame]]) -> list[FrameScore]:
        scenes = [(frame, self.scenes[name]) for name, frame in batch]
        return score_batch(
            [ScoreRequest(frame, scene, scene.settings.score) for frame, scene in scenes], self._inference
        )

    def _frames(self, name: str, count: int) -> Iterator[Frame]:
        for index in range(count):
            yield Frame(name, index, index, float(index), None, self._images[index % IMAGES])


def images(size: tuple[int, int]) -> list[npt.NDArray[np.uint8]]:
    """Returns frames of synthetic footage, one a second, at the input's size (height, width)."""
    height, width = size
    footage = SyntheticScene(width, height, Fraction(1), seed=0, traffic_seed=0)
    return [footage.frame(index).image for index in range(IMAGES)]


def random_settings(overrides: Sequence[str] = ()) -> Settings:
    """The default settings with these changes, and with random weights where others would have to be downloaded.

    Scores are the paper's: a scene of random weights has no footage to tell what is normal.
    """
    settings = load(None, ["score.kind=paper", *overrides])
    return override(settings, ["model.weights=random"]) if settings.model.weights == "pretrained" else settings


def random_scene(backbone: str, size: tuple[int, int], overrides: Sequence[str] = ()) -> Scene:
    """A scene of that backbone and input size (height, width).

    Raises:
        UserError: an override of either of them.
    """
    for setting, option in (("model.backbone", "--backbone"), ("input.size", "--input-size")):
        if any(one.partition("=")[0].strip() == setting for one in overrides):
            raise UserError(f"{setting} is set by {option} here")
    given = (f"model.backbone={backbone}", "model.weights=random", f"input.size={list(size)}")
    return Scene.new(backbone, load(None, [*given, *overrides]))
