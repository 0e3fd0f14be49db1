"""The features of normal footage: every frame goes through the backbone once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msflow_stream.model.fused.pyramid import FusedPyramid
from msflow_stream.scenes.feature_cache import Cache
from msflow_stream.scenes.motion import motion_of
from msflow_stream.scenes.parts import Workers
from msflow_stream.scenes.preparation import DevicePreparation, Small
from msflow_stream.scenes.scene import Scene
from msflow_stream.series import batched
from msflow_stream.types import Frame

BATCH, DEVICE_BATCH = 8, 32  # frames that go through the backbone together: on a core, and on a GPU


@dataclass(slots=True)
class NormalFeatures:
    """Features of normal frames, and which of them are kept out of the fit."""

    cache: Cache
    frames: list[tuple[str, int, float]] = field(default_factory=list)  # source, index, time of every frame
    held_out: list[int] = field(default_factory=list)  # positions in the cache, ascending
    motion: dict[int, npt.NDArray[np.float32]] = field(
        default_factory=dict
    )  # motion field, of the frames that have one

    @property
    def fitted(self) -> list[int]:
        """Positions in the cache that the fit may use."""
        return sorted(set(range(len(self.frames))) - set(self.held_out))

    @property
    def sources(self) -> dict[str, int]:
        """Frames per source."""
        return {name: len(list(frames)) for name, frames in groupby(self.frames, key=lambda o: o[0])}

    @property
    def digest(self) -> str:
        """A hash of which frames there are: the same for the same sources, sampled alike."""
        return hashlib.sha256(repr(self.frames).encode()).hexdigest()


def extract(scene: Scene, sources: Iterable[Iterable[Frame]], cache: Cache, holdout: float) -> Iterator[NormalFeatures]:
    """Fills the cache from the frames of every source, yielding the growing footage after every batch.

    The last `holdout` of each source's frames is held out: the part a model of the rest has not seen. On the CPU,
    batches are computed beside one another, and beside the reading; on a GPU, beside the preparation of the next.
    """
    footage, workers = NormalFeatures(cache), Workers(torch.device("cpu"))
    extracted = cores_extraction(scene) if scene.device.type == "cpu" else device_extraction(scene)
    with workers.running():
        for source in sources:
            start = len(footage.frames)
            for features, motion, seen in extracted(workers, source):
                cache.add(features)
                known = {at: moved for at, moved in enumerate(motion, len(footage.frames)) if moved is not None}
                footage.motion |= known
                footage.frames += seen
                yield footage
            kept = len(footage.frames) - int(holdout * (len(footage.frames) - start))
            footage.held_out += range(kept, len(footage.frames))


class Extracted(NamedTuple):
    """What a batch of frames adds to footage: features, motion fields, and source, index and time of every frame."""

    features: list[Tensor]
    motion: list[npt.NDArray[np.float32] | None]
    frames: list[tuple[str, int, float]]


Extraction = Callable[[Workers, Iterable[Frame]], Iterator[Extracted]]


def cores_extraction(scene: Scene) -> Extraction:
    """Returns the extraction for CPUs: every core prepares and computes batches of its own."""
    pyramid = FusedPyramid(scene.pyramid)

    def computed(frames: Sequence[Frame]) -> Extracted:
        with torch.inference_mode():
            features = pyramid(torch.stack([scene.prepare(frame.pixels) for frame in frames]))
        return Extracted(features, [motion_of(frame) for frame in frames], [_seen(frame) for frame in frames])

    return lambda workers, source: workers.each(computed, batched(source, BATCH))


def device_extraction(scene: Scene) -> Extraction:
    """Returns the extraction for GPUs: all cores prepare frames, while the GPU computes those before."""
    preparation, settings = DevicePreparation(scene.device), scene.settings.input

    def prepared(frame: Frame) -> tuple[Small, npt.NDArray[np.float32] | None, tuple[str, int, float]]:
        return preparation.small(frame.pixels, settings), motion_of(frame), _seen(frame)

    def extracted(workers: Workers, source: Iterable[Frame]) -> Iterator[Extracted]:
        for part in batched(workers.each(prepared, source), DEVICE_BATCH):
            smalls, motion, seen = zip(*part, strict=True)
            with torch.inference_mode():
                features = scene.pyramid(preparation.batch(smalls, settings))
            yield Extracted(features, list(motion), list(seen))

    return extracted


def _seen(frame: Frame) -> tuple[str, int, float]:
    return frame.source, frame.index, frame.time
