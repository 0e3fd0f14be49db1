"""The feature cache: the backbone is frozen and nothing is augmented, so features are computed once per fit."""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msflow_stream.config.settings import FitSettings
from msflow_stream.machine import usable_memory
from msflow_stream.model.fused.pyramid import FusedPyramid
from msflow_stream.scenes.motion import motion_of
from msflow_stream.scenes.parts import Workers
from msflow_stream.scenes.scene import Scene
from msflow_stream.series import batched
from msflow_stream.types import Frame

BLOCK = 32  # frames per block of memory
BATCH = 8  # frames that go through the backbone together


class FeatureCache:
    """Features of many frames, appended in order and read at random; in memory, or on disk beyond a limit.

    Memory is taken in large blocks from the system: small arrays between large and short-lived ones would
    keep the allocator from giving those back. The files on disk have no name (they are unlinked when made): they vanish
    with the process, crashed or not. They are read piece by piece, not mapped, so that memory does not grow by reading.

    Args:
        dtype: float16 or float32, as stored; batches come back as float32.
        memory_limit: bytes; None for a quarter of the machine's memory.
        folder: where the files go, the system's temporary folder if None.
    """

    def __init__(
        self, dtype: torch.dtype = torch.float32, memory_limit: int | None = None, folder: Path | None = None
    ) -> None:
        self.dtype = np.dtype(str(dtype).removeprefix("torch."))
        self.memory_limit = usable_memory() // 4 if memory_limit is None else memory_limit
        self.folder = folder
        self.bytes = 0
        self._count = 0
        self._shapes: list[tuple[int, int, int]] = []  # H W C of every scale
        self._blocks: list[list[npt.NDArray[np.generic]]] = []  # in memory: per scale, blocks of BLOCK H W C
        self._files: list[IO[bytes]] = []  # on disk: per scale, frames one after another

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._blocks.clear()
        for file in self._files:
            file.close()

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(H_l, W_l) of every scale."""
        return [shape[:2] for shape in self._shapes]

    @property
    def on_disk(self) -> bool:
        """Whether the memory limit was passed."""
        return bool(self._files)

    def add(self, features: Sequence[Tensor]) -> None:
        """Adds the frames of a batch: one B C_l H_l W_l tensor per scale."""
        stored = [f.permute(0, 2, 3, 1).cpu().numpy().astype(self.dtype, order="C") for f in features]  # B H W C
        self._shapes = [f.shape[1:] for f in stored]
        self.bytes += sum(f.nbytes for f in stored)
        if not self.on_disk and self.bytes > self.memory_limit:
            self._spill()
        for scale, frames in enumerate(stored):
            if self.on_disk:
                self._files[scale].write(frames.data)
            else:
                self._remember(scale, frames)
        for file in self._files:
            file.flush()
        self._count += len(stored[0])

    def batch(self, positions: Sequence[int]) -> list[Tensor]:
        """Returns the features at `positions`, float32 B C_l H_l W_l per scale, channels last in memory."""
        scales = (np.stack([self._frame(i, scale) for i in positions]) for scale in range(len(self._shapes)))
        return [torch.from_numpy(scale.astype(np.float32, copy=False)).permute(0, 3, 1, 2) for scale in scales]

    def _frame(self, position: int, scale: int) -> npt.NDArray[np.generic]:
        """Features of one frame at one scale, H W C."""
        if not self.on_disk:
            remembered: npt.NDArray[np.generic] = self._blocks[scale][position // BLOCK][position % BLOCK]
            return remembered
        features = np.empty(self._shapes[scale], self.dtype)
        os.preadv(self._files[scale].fileno(), [features.data], position * features.nbytes)
        return features

    def _remember(self, scale: int, features: npt.NDArray[np.generic]) -> None:
        """Puts the features of frames (B H W C) behind those that are in memory."""
        while len(self._blocks) <= scale:
            self._blocks.append([])
        for number, frame in enumerate(features, self._count):
            if number % BLOCK == 0:
                memory = mmap.mmap(-1, max(1, BLOCK * frame.nbytes))  # only what is written to takes memory
                self._blocks[scale].append(np.frombuffer(memory, self.dtype).reshape(BLOCK, *frame.shape))
            self._blocks[scale][-1][number % BLOCK] = frame

    def _spill(self) -> None:
        """Moves all that is in memory to disk."""
        self._files = [
            tempfile.TemporaryFile(dir=self.folder, prefix="features-")  # noqa: SIM115  closed in __exit__
            for _ in self._shapes
        ]
        for scale, file in enumerate(self._files):
            for number in range(self._count):
                file.write(self._blocks[scale][number // BLOCK][number % BLOCK].data)
        self._blocks.clear()


@dataclass(slots=True)
class NormalFeatures:
    """Features of normal frames, and which of them are kept out of the fit."""

    cache: FeatureCache
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


def extract(
    scene: Scene, sources: Iterable[Iterable[Frame]], cache: FeatureCache, holdout: float
) -> Iterator[NormalFeatures]:
    """Fills the cache from the frames of every source, yielding the growing footage after every batch.

    The last `holdout` of each source's frames is held out: the part a model of the rest has not seen. On the CPU,
    batches are computed beside one another, and beside the reading.
    """
    footage, workers = NormalFeatures(cache), Workers(scene.device)
    pyramid = FusedPyramid(scene.pyramid) if scene.device.type == "cpu" else scene.pyramid

    def computed(frames: Sequence[Frame]) -> _Computed:
        with torch.inference_mode():
            images = torch.stack([scene.prepare(frame.pixels) for frame in frames])
            features = pyramid(images.to(scene.device))
        seen = [(frame.source, frame.index, frame.time) for frame in frames]
        return _Computed(features, [motion_of(frame) for frame in frames], seen)

    with workers.running():
        for source in sources:
            start = len(footage.frames)
            for features, motion, seen in workers.each(computed, batched(source, BATCH)):
                cache.add(features)
                known = {at: moved for at, moved in enumerate(motion, len(footage.frames)) if moved is not None}
                footage.motion |= known
                footage.frames += seen
                yield footage
            kept = len(footage.frames) - int(holdout * (len(footage.frames) - start))
            footage.held_out += range(kept, len(footage.frames))


class _Computed(NamedTuple):
    """What a batch of frames adds to footage: features, motion fields, and source, index and time of every frame."""

    features: list[Tensor]
    motion: list[npt.NDArray[np.float32] | None]
    frames: list[tuple[str, int, float]]


def feature_cache(settings: FitSettings, folder: Path | None = None) -> FeatureCache:
    """Returns a cache as the settings ask for it."""
    limit = None if settings.cache_memory is None else int(settings.cache_memory * 2**30)
    return FeatureCache(getattr(torch, settings.cache_dtype), limit, folder)
