"""Small footage and small settings, so that a whole fit takes about a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.config.loading import load
from msflow_stream.config.settings import Settings
from msflow_stream.datasets.synthetic import SyntheticScene, Violation
from msflow_stream.types import Frame
from msflow_stream.video.writing.video_writer import VideoWriter

SMALL = (
    "input.size=[64,96]",
    "model.backbone=test_resnet",  # the smallest of timm
    "model.weights=random",
    "model.stages=[1,2]",
    "model.blocks=[1,1]",
    "model.condition_channels=8",
    "fit.passes=2",
)
SIZE, RATE = (96, 64), Fraction(25)
Labels = npt.NDArray[np.uint8]
Masks = npt.NDArray[Any]


def small_settings(*overrides: str) -> Settings:
    return load(overrides=[*SMALL, *overrides])


def small_flags(*overrides: str) -> list[str]:
    """SMALL as arguments of the command line."""
    return [part for override in (*SMALL, *overrides) for part in ("--set", override)]


def frames(count: int, every: int = 5, traffic: int = 0, source: str = "normal") -> Iterator[Frame]:
    """Sampled frames of a synthetic walkway, `count` of them."""
    for index in range(0, count * every, every):
        yield Frame(source, index, index, index / 25, None, _image(traffic, index).copy())


@lru_cache(1024)
def _image(traffic: int, index: int) -> npt.NDArray[np.uint8]:
    """An image of the walkway, drawn once: that takes longer than to score it, and many tests want the same."""
    return _walkway(traffic).frame(index).image


@lru_cache(8)
def _walkway(traffic: int) -> SyntheticScene:
    return SyntheticScene(*SIZE, RATE, seed=0, traffic_seed=traffic)


def write_clip(folder: Path, name: str, seconds: float, violations: Sequence[Violation] = (), traffic: int = 0) -> Path:
    """A video of the walkway with `labels/name.npy` and `masks/name.npy` beside it."""
    video, labels, masks = _clip(seconds, tuple(violations), traffic)
    path = folder / f"{name}.mp4"
    path.write_bytes(video)
    for kind, content in (("labels", labels), ("masks", masks)):
        (folder / kind).mkdir(exist_ok=True)
        np.save(folder / kind / f"{name}.npy", content)
    return path


@lru_cache(32)
def _clip(seconds: float, violations: tuple[Violation, ...], traffic: int) -> tuple[bytes, Labels, Masks]:
    """A video file's content, its labels and its masks, drawn once: tests of one file want the same."""
    scene = SyntheticScene(*SIZE, RATE, seed=0, traffic_seed=traffic)
    labels, masks = list[int](), list[Masks]()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with VideoWriter(path, *SIZE, 1 / RATE, RATE) as writer:
            for frame in scene.render(seconds, violations):
                writer.write(frame.image, frame.index)
                labels.append(frame.label)
                masks.append(frame.mask)
        return path.read_bytes(), np.array(labels, np.uint8), np.stack(masks)
