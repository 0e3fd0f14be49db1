"""The feature cache: the backbone is frozen and nothing is augmented, so features are computed once per fit."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msflow_stream.config.settings import FitSettings
from msflow_stream.machine import free_memory, usable_memory

BLOCK = 32  # frames per block of memory
SHARE = 2  # of the free memory of a GPU, the cache may take one such part: the fit needs the rest
AHEAD = 2  # batches that come from the machine's memory to a GPU before they are asked for, at most


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
        self.dtype, self._kind = dtype, np.dtype(str(dtype).removeprefix("torch."))
        self.memory_limit = usable_memory() // 4 if memory_limit is None else memory_limit
        self.folder = folder
        self.bytes = 0
        self._count = 0
        self._shapes: list[tuple[int, int, int]] = []  # H W C of every scale
        self._blocks: list[list[npt.NDArray[np.generic]]] = []  # in memory: per scale, blocks of BLOCK H W C
        self._files: list[IO[bytes]] = []  # on disk: per scale, frames one after another
        self._turn = Lock()

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
        stored = [f.permute(0, 2, 3, 1).cpu().numpy().astype(self._kind, order="C") for f in features]  # B H W C
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
        return [scale.float().permute(0, 3, 1, 2) for scale in self.gather(positions)]

    def gather(self, positions: Sequence[int], pinned: bool = False) -> list[Tensor]:
        """Returns the features at `positions` as they are stored, B H_l W_l C_l per scale.

        Args:
            positions: of the frames.
            pinned: in memory from which a GPU copies while the host goes on.
        """
        gathered = []
        for scale, shape in enumerate(self._shapes):
            together = torch.empty((len(positions), *shape), dtype=self.dtype, pin_memory=pinned)
            for frame, position in zip(together.numpy(), positions, strict=True):
                if self.on_disk:
                    self._read(position, scale, frame)
                else:
                    frame[...] = self._frame(position, scale)
            gathered.append(together)
        return gathered

    def prefetch(self, positions: Sequence[int]) -> None:
        """Does nothing: what would come sooner is in memory."""

    def beside(self, dtype: torch.dtype) -> FeatureCache:
        """Returns an empty cache in the machine's memory, with the same limit and folder."""
        return FeatureCache(dtype, self.memory_limit, self.folder)

    def _read(self, position: int, scale: int, into: npt.NDArray[np.generic]) -> None:
        """Reads the features of one frame at one scale, H W C, from the disk; several threads may at once."""
        file, place = self._files[scale], position * into.nbytes
        if sys.platform != "win32":
            os.preadv(file.fileno(), [into.data], place)
            return
        with self._turn:  # there, a file is read where it stands, and written to
            file.seek(place)
            into.data.cast("B")[:] = file.read(into.nbytes)
            file.seek(0, os.SEEK_END)

    def _frame(self, position: int, scale: int) -> npt.NDArray[np.generic]:
        """Features of one frame at one scale, H W C, where they are in memory."""
        remembered: npt.NDArray[np.generic] = self._blocks[scale][position // BLOCK][position % BLOCK]
        return remembered

    def _remember(self, scale: int, features: npt.NDArray[np.generic]) -> None:
        """Puts the features of frames (B H W C) behind those that are in memory."""
        while len(self._blocks) <= scale:
            self._blocks.append([])
        for number, frame in enumerate(features, self._count):
            if number % BLOCK == 0:
                memory = mmap.mmap(-1, max(1, BLOCK * frame.nbytes))  # only what is written to takes memory
                self._blocks[scale].append(np.frombuffer(memory, self._kind).reshape(BLOCK, *frame.shape))
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


class _Upload(NamedTuple):
    """A batch on its way to a GPU: B H_l W_l C_l per scale, and the event after which it is there."""

    features: list[Tensor]
    there: torch.cuda.Event | None


class DeviceCache:
    """Features of many frames, as `FeatureCache`, on the device that computes with them; beyond a limit, in another.

    From there a thread gathers the batches that are announced, and they go up from pinned memory on a stream of their
    own: neither the host nor the GPU waits for one another.

    Args:
        device: where they are, and where batches come back.
        host: takes all of them once the limit is passed.
        memory_limit: bytes on the device.
    """

    def __init__(self, device: torch.device, host: FeatureCache, memory_limit: int) -> None:
        self.device, self.host, self.memory_limit = device, host, memory_limit
        self._bytes = 0
        self._frames: list[list[Tensor]] = []  # per scale, H W C of every frame
        self._thread = ThreadPoolExecutor(1, "features")
        self._uploads: dict[tuple[int, ...], Future[_Upload]] = {}

    def __len__(self) -> int:
        return len(self._frames[0]) if self.on_device else len(self.host)

    def __enter__(self) -> DeviceCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._uploads.clear()
        self._frames.clear()
        self.host.__exit__(kind, error, trace)

    @property
    def bytes(self) -> int:
        """Bytes of all features, wherever they are."""
        return self._bytes if self.on_device else self.host.bytes

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(H_l, W_l) of every scale."""
        return [(one[0].shape[0], one[0].shape[1]) for one in self._frames] if self.on_device else self.host.sizes

    @property
    def on_device(self) -> bool:
        """Whether there are features, and the limit was not passed."""
        return bool(self._frames)

    def add(self, features: Sequence[Tensor]) -> None:
        """Adds the frames of a batch: one B C_l H_l W_l tensor per scale."""
        size = sum(one.numel() for one in features) * self.host.dtype.itemsize
        if len(self.host) or self._bytes + size > self.memory_limit:
            self._move()
            self.host.add(features)
            return
        self._bytes += size
        self._frames = self._frames or [[] for _ in features]
        for frames, one in zip(self._frames, features, strict=True):
            frames += (
                one.permute(0, 2, 3, 1)
                .to(self.device, self.host.dtype, copy=True, memory_format=torch.contiguous_format)
                .unbind()
            )  # H W C

    def batch(self, positions: Sequence[int]) -> list[Tensor]:
        """Returns the features at `positions` on the device, float32 B C_l H_l W_l per scale, channels last."""
        if self.on_device:  # one kernel per scale, without a tensor of positions
            together = [torch.stack([frames[i] for i in positions]) for frames in self._frames]
        else:
            together = self._arrived(positions)
        return [scale.float().permute(0, 3, 1, 2) for scale in together]

    def prefetch(self, positions: Sequence[int]) -> None:
        """Has a batch that will soon be asked for brought to the device in the background, if it is not there."""
        if not self.on_device:
            self._uploads[tuple(positions)] = self._thread.submit(self._upload, positions)
            while len(self._uploads) > AHEAD:  # those of a pass that was given up
                self._uploads.pop(next(iter(self._uploads)))

    def beside(self, dtype: torch.dtype) -> FeatureCache:
        """Returns an empty cache in the machine's memory, with the limit and the folder that this one has there."""
        return self.host.beside(dtype)

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def _upload(self, positions: Sequence[int]) -> _Upload:
        gathered = self.host.gather(positions, pinned=self.device.type == "cuda")
        if self.device.type == "cpu":
            return _Upload(gathered, None)
        with torch.cuda.stream(self._stream):
            features = [scale.to(self.device, non_blocking=True) for scale in gathered]
            return _Upload(features, self._stream.record_event())

    def _arrived(self, positions: Sequence[int]) -> list[Tensor]:
        """B H W C per scale, for what the device does from now on."""
        begun = self._uploads.pop(tuple(positions), None)
        features, there = begun.result() if begun else self._upload(positions)
        if there is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_event(there)
            for one in features:
                one.record_stream(here)
        return features

    def _move(self) -> None:
        """Moves all that is on the device to the machine's memory."""
        for start in range(0, len(self) if self.on_device else 0, BLOCK):
            parts = (torch.stack(frames[start : start + BLOCK]) for frames in self._frames)
            self.host.add([part.permute(0, 3, 1, 2) for part in parts])
        self._frames.clear()


Cache = FeatureCache | DeviceCache


def feature_cache(settings: FitSettings, folder: Path | None = None, device: torch.device | None = None) -> Cache:
    """Returns a cache as the settings ask for it; on a GPU if that is the device, as long as half of it stays free."""
    limit = None if settings.cache_memory is None else int(settings.cache_memory * 2**30)
    host = FeatureCache(getattr(torch, settings.cache_dtype), limit, folder)
    if device is None or device.type == "cpu":
        return host
    room = free_memory(device) // SHARE
    return DeviceCache(device, host, room if limit is None else min(room, limit))
