"""Recordings of networks on a GPU (CUDA graphs): batches of a few sizes, replayed without Python's work."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import RLock
from typing import Any, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor

from msflow_stream.scoring.engines.base import Run
from msflow_stream.scoring.transfers import stream_of

log = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8, 16, 32, 64)  # of batches that are recorded: others are filled up, larger ones go in parts
WARM_UPS = 2  # before recording: libraries choose their kernels at first
SPARE = 0.05  # of a GPU's memory: with less free, nothing more is recorded
AGREES = 1e-2  # of the largest value: by so much a replay may differ from what it recorded
GPU = RLock()  # torch allows one recording per process; recordings share their memory, so replays come in turn

_failed: list[torch.cuda.CUDAGraph] = []  # kept: torch's allocators may go on asking them what they record
_ended: dict[torch.device, torch.cuda.Event] = {}


class RecordingError(RuntimeError):
    """A recording that would not do what it recorded."""


class _Pool(NamedTuple):
    """Memory that recordings share: torch's handle of it, which dies with the last of these graphs."""

    handle: Any
    graphs: WeakSet[torch.cuda.CUDAGraph]


_pools: dict[torch.device, _Pool] = {}


class Recording(NamedTuple):
    """A function of tensors as a GPU keeps it.

    Attributes:
        inputs: tensors to be filled before a replay.
        outputs: tensors that a replay fills.
        replay: computes the outputs anew from the inputs.
        nbytes: memory of the GPU that it takes.
    """

    inputs: list[Tensor]
    outputs: list[Tensor]
    replay: Callable[[], None]
    nbytes: int


Record = Callable[[Run, Sequence[Tensor]], Recording]


@contextmanager
def in_turn(device: torch.device) -> Iterator[None]:
    """Has what a GPU is told meanwhile come after what it was told in earlier such turns, whatever their streams."""
    with GPU:
        if device.type != "cuda":
            yield
            return
        stream = torch.cuda.current_stream(device)
        if device in _ended:
            stream.wait_event(_ended[device])
        try:
            yield
        finally:
            _ended[device] = stream.record_event()


def record_cuda_graph(run: Run, inputs: Sequence[Tensor]) -> Recording:
    """Records what `run` does with tensors like these, on their device, and tries it.

    The memory inside is shared with all other recordings of the device. To be called in turn.

    Raises:
        RecordingError: nothing was recorded, or a replay gives something else.
        RuntimeError: what torch raises.
    """
    device = inputs[0].device
    with torch.cuda.device(device):
        own = [one.clone() for one in inputs]
        aside = stream_of(device, "recording")  # one for all: libraries keep memory for each
        aside.wait_stream(torch.cuda.current_stream(device))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(aside):
            expected = _warmed_up(run, own)
            aside.synchronize()
            before = torch.cuda.memory_reserved(device)
            outputs = _captured(graph, run, own, device)
            grown = torch.cuda.memory_reserved(device) - before
            for one in outputs:
                one.fill_(torch.nan)
            graph.replay()
            wrong = [number for number, pair in enumerate(zip(outputs, expected, strict=True)) if not _agree(*pair)]
            aside.synchronize()
        torch.cuda.current_stream(device).wait_stream(aside)
        if wrong:
            raise RecordingError(f"a replay gives something else than what was recorded (output {wrong[0]})")
    del expected
    torch.cuda.empty_cache()  # of what it took to run without a recording
    return Recording(own, outputs, graph.replay, max(grown, sum(one.nbytes for one in (*own, *outputs))))


def _warmed_up(run: Run, inputs: Sequence[Tensor]) -> list[Tensor]:
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True  # the fastest of cuDNN's convolutions, chosen once per size
    try:
        for _ in range(WARM_UPS):
            outputs = run(inputs)
    finally:
        torch.backends.cudnn.benchmark = benchmark
    return outputs


def _captured(graph: torch.cuda.CUDAGraph, run: Run, inputs: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """What `run` returned while it was recorded; the stream is the caller's, so a failure leaves none behind."""
    pool, kept = _pool_of(device)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*CUDA Graph is empty.*")
        # thread_local: other threads take memory and make scenes ready meanwhile.
        graph.capture_begin(pool=pool.handle, capture_error_mode="thread_local")
        del kept
        try:
            outputs = run(inputs)
        except BaseException:
            with suppress(RuntimeError, Warning):
                _end(graph, device)
            raise
        try:
            _end(graph, device)
        except Warning as error:
            raise RecordingError(str(error)) from None
    pool.graphs.add(graph)
    return outputs


def _pool_of(device: torch.device) -> tuple[_Pool, list[torch.cuda.CUDAGraph]]:
    """The memory for a new recording, and those that share it, to be held until it has begun."""
    pool = _pools.get(device)
    kept = [] if pool is None else list(pool.graphs)
    if pool is None or not kept:
        pool = _pools[device] = _Pool(torch.cuda.graph_pool_handle(), WeakSet())
    return pool, kept


def _end(graph: torch.cuda.CUDAGraph, device: torch.device) -> None:
    try:
        graph.capture_end()
    except RuntimeError:
        _forget(graph, device)
        raise


def _forget(graph: torch.cuda.CUDAGraph, device: torch.device) -> None:
    """Tells torch's allocator that a recording is over whose end failed: else it would free no memory from then on."""
    try:
        graph.pool()
    except RuntimeError:  # as long as it has not ended
        _failed.append(graph)
        handle = _pools.pop(device).handle
        with suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(device.index, handle)
        torch._C._cuda_releasePool(device.index, handle)


def _agree(found: Tensor, expected: Tensor) -> bool:
    found, expected = found.float(), expected.float()
    bound = AGREES * float(expected.abs().nan_to_num(0, 0, 0).amax())
    return torch.allclose(found, expected, rtol=AGREES, atol=bound, equal_nan=True)


class RecordedRun:
    """A function of batches that records itself at the first batch of each size, and replays from then on.

    Batches are filled up to the next of a few sizes. What cannot be recorded runs as it is. May be called from several
    threads.

    Args:
        run: computes each image of a batch by itself, reads nothing but its inputs, and never waits for the GPU.
        record: how; it is called by one thread at a time in the process.
        sizes: of batches, ascending.
    """

    def __init__(self, run: Run, record: Record = record_cuda_graph, sizes: Sequence[int] = SIZES) -> None:
        self._run, self._record, self._sizes = run, record, tuple(sizes)
        self._recordings: dict[tuple[object, ...], Recording | None] = {}  # None: runs as it is
        self._refused: set[int] = set()  # sizes for which memory was short, as was said

    @property
    def nbytes(self) -> int:
        """Memory of the GPU that the recordings take."""
        return sum(one.nbytes for one in list(self._recordings.values()) if one is not None)

    def release(self) -> None:
        """Lets go of all recordings; who needs one again makes it again."""
        with GPU:
            self._recordings.clear()

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Returns the function's outputs for these inputs."""
        with torch.inference_mode(), in_turn(inputs[0].device):
            parts = list(zip(*(torch.split(one, self._sizes[-1]) for one in inputs), strict=True))
            found = [self._of(part) for part in parts]
            return found[0] if len(found) == 1 else [torch.cat(one) for one in zip(*found, strict=True)]

    def _of(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        count = len(inputs[0])
        recording = self._recording(next(size for size in self._sizes if size >= count), inputs)
        if recording is None:
            return self._run(inputs)
        for own, given in zip(recording.inputs, inputs, strict=True):
            own[:count].copy_(given, non_blocking=True)
        recording.replay()
        return [one[:count].clone() for one in recording.outputs]

    def _recording(self, size: int, inputs: Sequence[Tensor]) -> Recording | None:
        key = (size, *((one.shape[1:], one.dtype) for one in inputs))
        if key not in self._recordings:
            if not _has_room(inputs[0].device):  # asked again with the next batch
                if size not in self._refused:
                    log.warning("batches of %d are not recorded as a CUDA graph: the GPU's memory is nearly full", size)
                self._refused.add(size)
                return None
            self._recordings[key] = self._made(size, inputs)
        return self._recordings[key]

    def _made(self, size: int, inputs: Sequence[Tensor]) -> Recording | None:
        try:
            return self._record(self._run, [_filled_up(one, size) for one in inputs])
        except RuntimeError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            log.warning("batches of %d run without a CUDA graph, which is slower: %s", size, reason)
        _let_go(inputs[0].device)
        return None


def _filled_up(batch: Tensor, size: int) -> Tensor:
    filled = torch.zeros_like(batch[:1]).expand(size, *batch.shape[1:]).clone(memory_format=_format(batch))
    filled[: len(batch)] = batch
    return filled


def _format(batch: Tensor) -> torch.memory_format:
    last = batch.dim() == 4 and batch.is_contiguous(memory_format=torch.channels_last) and not batch.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _has_room(device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, total = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, to be used again
    return free + held > SPARE * total


def _let_go(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
