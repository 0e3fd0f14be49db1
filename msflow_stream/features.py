"""The feature cache: the backbone is frozen and nothing is augmented, so features are computed once per fit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msflow_stream.machine import usable_memory


class FeatureCache:
    """Features of many frames, appended in order and read at random; in memory, or on disk beyond a limit.

    The files on disk have no name (they are unlinked when made): they vanish with the process, crashed or not. They
    are read piece by piece, not mapped, so that the memory of the process does not grow with what was read.

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
        self._shapes: list[tuple[int, ...]] = []  # H W C of every scale
        self._frames: list[list[npt.NDArray[np.generic]]] = []  # in memory: per frame, per scale H W C
        self._files: list[IO[bytes]] = []  # on disk: per scale, frames one after another

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frames.clear()
        for file in self._files:
            file.close()

    @property
    def on_disk(self) -> bool:
        """Whether the memory limit was passed."""
        return bool(self._files)

    def append(self, features: Sequence[Tensor]) -> None:
        """Adds the frames of a batch: one B C_l H_l W_l tensor per scale."""
        stored = [f.permute(0, 2, 3, 1).cpu().numpy().astype(self.dtype, order="C") for f in features]  # B H W C
        self._shapes = [f.shape[1:] for f in stored]
        self.bytes += sum(f.nbytes for f in stored)
        self._count += len(stored[0])
        self._frames += [[f[i].copy() for f in stored] for i in range(len(stored[0]))]
        if self.on_disk or self.bytes > self.memory_limit:
            self._spill()

    def batch(self, positions: Sequence[int]) -> list[Tensor]:
        """The frames at `positions`, float32 B C_l H_l W_l per scale, channels last in memory."""
        scales = (np.stack([self._frame(i, scale) for i in positions]) for scale in range(len(self._shapes)))
        return [torch.from_numpy(scale.astype(np.float32, copy=False)).permute(0, 3, 1, 2) for scale in scales]

    def _frame(self, position: int, scale: int) -> npt.NDArray[np.generic]:
        """Features of one frame at one scale, H W C."""
        if not self.on_disk:
            return self._frames[position][scale]
        features = np.empty(self._shapes[scale], self.dtype)
        os.preadv(self._files[scale].fileno(), [features.data], position * features.nbytes)
        return features

    def _spill(self) -> None:
        if not self._files:
            self._files = [
                tempfile.TemporaryFile(dir=self.folder, prefix="features-")  # noqa: SIM115  closed in __exit__
                for _ in self._shapes
            ]
        for frame in self._frames:
            for file, features in zip(self._files, frame, strict=True):
                file.write(features.tobytes())
        for file in self._files:
            file.flush()
        self._frames.clear()
