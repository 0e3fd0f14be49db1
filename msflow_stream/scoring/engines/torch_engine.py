"""The engines of PyTorch itself, as it is or compiled, on the CPU and on GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msflow_stream.config.engines import STREAMS, EngineName, EnginePrecision
from msflow_stream.machine import tf32
from msflow_stream.model.fused.gpu import GpuFlow, GpuPyramid
from msflow_stream.model.fused.winograd import use_winograd
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid
from msflow_stream.scoring.engines.base import Engine, Run, Samples, Size, check_precision
from msflow_stream.scoring.engines.recording import Record, RecordedRun, record_cuda_graph

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def threads_beside(count: int) -> ThreadPoolExecutor:
    """Returns threads that compute beside one another, among whose sums the threads of the caller's are shared out."""
    threads, ready = torch.get_num_threads(), Barrier(count)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first question takes the number of the process
        torch.set_num_threads(max(1, threads // count))
        ready.wait()

    pool = ThreadPoolExecutor(count, "part", initializer=begin)
    for started in [pool.submit(int) for _ in range(count)]:
        started.result()
    torch.set_num_threads(threads)  # the last call counts for threads that are yet to come, whoever they are
    return pool


class InParts:
    """A function of a batch that runs its parts on threads of their own.

    Threads that share each of the hundreds of steps for a batch wait for one another at all of them.
    """

    def __init__(self, run: Run, pool: ThreadPoolExecutor, count: int) -> None:
        self._run, self._pool, self._count = run, pool, count

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Returns the function's outputs for these inputs."""
        size = -(-len(inputs[0]) // self._count)
        taken = list(self._pool.map(self._run, zip(*(torch.split(one, size) for one in inputs), strict=True)))
        with torch.inference_mode():
            return taken[0] if len(taken) == 1 else [torch.cat(one) for one in zip(*taken, strict=True)]


class TorchEngine(Engine):
    """Networks run by PyTorch; in lower precisions, convolutions and matrix products have them, the rest is float32.

    Its float32 convolutions on a CPU are direct ones, beside which those of `model.winograd` take less time. On a GPU
    it has networks of their own (`model.fused.gpu`), and records what they do.

    Args:
        precision: that of the arithmetic inside; tf32 is for GPUs.
        cache: not used.
        streams: parts of a batch at a time, on a CPU. With 1, a batch has all threads: for frames that come one by one.
    """

    name: ClassVar[EngineName] = "torch"
    record: Record = staticmethod(record_cuda_graph)

    def __init__(
        self, precision: EnginePrecision = "float32", cache: Path | None = None, streams: int = STREAMS
    ) -> None:
        super().__init__(precision)
        self.streams = min(streams, torch.get_num_threads())
        self._pool: ThreadPoolExecutor | None = None

    def records(self, device: torch.device) -> bool:
        """Returns whether functions are recorded there: on any GPU."""
        return device.type != "cpu"

    def pyramid(self, pyramid: Pyramid, device: torch.device) -> nn.Module:
        """Returns the network of the features; on a GPU it is in the engine's precision from the start."""
        return GpuPyramid(pyramid, self.dtype) if self.records(device) else super().pyramid(pyramid, device)

    def flow(self, flow: MSFlow, sizes: Sequence[Size], device: torch.device) -> nn.Module:
        """Returns the network of the log-likelihoods; on a GPU it is in the engine's precision from the start."""
        return GpuFlow(flow, sizes, self.dtype) if self.records(device) else super().flow(flow, sizes, device)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers that convolutions take."""
        return DTYPES.get(self.precision, torch.float32)

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        """Returns a function that runs the graph; on a GPU it is recorded and replayed.

        Raises:
            UserError: TF32, but no GPU.
        """
        device = example[0].device
        check_precision(self.precision, device)
        run = self._run(self._ready(graph, example), device)
        if self.records(device):
            return RecordedRun(run, self.record)
        if self.streams == 1:
            return run
        self._pool = self._pool or threads_beside(self.streams)
        return InParts(run, self._pool, self.streams)

    def _ready(self, graph: nn.Module, example: Sequence[Tensor]) -> nn.Module:
        if self.precision == "float32" and not self.records(example[0].device):
            use_winograd(graph.eval(), example)
        return graph.eval()

    def _run(self, graph: Any, device: torch.device) -> Run:
        cast = None if self.records(device) else DTYPES.get(self.precision)

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            lower = nullcontext() if cast is None else torch.autocast(device.type, cast)
            with torch.inference_mode(), lower, tf32() if self.precision == "tf32" else nullcontext():
                return [one if cast is None else one.float() for one in graph(*inputs)]

        return run
