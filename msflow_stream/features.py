"""The feature cache: the backbone is frozen and nothing is augmented, so features are computed once per fit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import torch
from torch import Tensor


class FeatureCache:
    """Features of many frames, appended in order and read at random; in memory, or on disk beyond a limit.

    The files on disk have no name (they are unlinked when made): they vanish with the process, crashed or not.

    Args:
        dtype: float16 or float32, as stored; batches come back as float32.
        memory_limit: bytes; None for a quarter of the machine's memory.
        folder: where the files go, the system's temporary folder if None.
    """

    def __init__(
        self, dtype: torch.dtype = torch.float32, memory_limit: int | None = None, folder: Path | None = None
    ) -> None:
        self.dtype = dtype
        self.memory_limit = total_memory() // 4 if memory_limit is None else memory_limit
        self.folder = folder
        self.bytes = 0
        self._count = 0
        self._shapes: list[torch.Size] = []
        self._frames: list[list[Tensor]] = []  # in memory: per frame, per scale C H W
        self._files: list[IO[bytes]] = []  # on disk: per scale, frames one after another
        self._maps: list[np.memmap[tuple[int, ...], np.dtype[np.generic]]] = []

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frames.clear()
        self._maps.clear()
        for file in self._files:
            file.close()

    @property
    def on_disk(self) -> bool:
        """Whether the memory limit was passed."""
        return bool(self._files)

    def append(self, features: Sequence[Tensor]) -> None:
        """Adds the frames of a batch: one B C_l H_l W_l tensor per scale."""
        self._maps.clear()
        stored = [f.to("cpu", self.dtype) for f in features]
        self._shapes = [f.shape[1:] for f in stored]
        self.bytes += sum(f.nbytes for f in stored)
        self._count += len(stored[0])
        self._frames += [[f[i].clone() for f in stored] for i in range(len(stored[0]))]
        if self.on_disk or self.bytes > self.memory_limit:
            self._spill()

    def batch(self, positions: Sequence[int]) -> list[Tensor]:
        """The frames at `positions`, float32 B C_l H_l W_l per scale."""
        if not self.on_disk:
            return [torch.stack(scale).float() for scale in zip(*(self._frames[i] for i in positions), strict=True)]
        if not self._maps:
            self._maps = [
                np.memmap(file, np.dtype(str(self.dtype).removeprefix("torch.")), "r", shape=(self._count, *shape))
                for file, shape in zip(self._files, self._shapes, strict=True)
            ]
        return [torch.from_numpy(np.asarray(mapped[list(positions)])).float() for mapped in self._maps]

    def _spill(self) -> None:
        if not self._files:
            self._files = [
                tempfile.TemporaryFile(dir=self.folder, prefix="features-")  # noqa: SIM115  closed in __exit__
                for _ in self._shapes
            ]
        for frame in self._frames:
            for file, features in zip(self._files, frame, strict=True):
                file.write(features.numpy().tobytes())
        for file in self._files:
            file.flush()
        self._frames.clear()


def total_memory() -> int:
    """Bytes of physical memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
