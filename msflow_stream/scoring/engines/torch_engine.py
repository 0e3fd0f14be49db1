"""The engines of PyTorch itself, as it is or compiled, on the CPU and on GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Barrier, Lock
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msflow_stream.config.engines import STREAMS, EngineName, EnginePrecision
from msflow_stream.model.fused.winograd import use_winograd
from msflow_stream.scoring.engines.base import Engine, Run, Samples
from msflow_stream.types import UserError

Recorded = tuple[list[Tensor], Callable[[], None]]  # outputs, and what computes them anew from the inputs
SHAPES = 8  # recordings kept: each holds memory of its own; batches of further shapes run as they are
WARM_UPS = 3  # before recording: libraries choose their kernels at first
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def record_cuda_graph(run: Run, inputs: Sequence[Tensor]) -> Recorded:
    """Records what `run` does with these tensors."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            run(inputs)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads make scenes ready meanwhile
        outputs = run(inputs)
    return outputs, graph.replay


class Replaying:
    """A function of tensors that replays what it recorded at the first batch of each shape.

    Args:
        run: reads nothing but its inputs, and never waits for the GPU.
        record: how.
    """

    def __init__(self, run: Run, record: Callable[[Run, Sequence[Tensor]], Recorded] = record_cuda_graph) -> None:
        self._run, self._record = run, record
        self._recorded: dict[tuple[torch.Size, ...], tuple[list[Tensor], Recorded]] = {}
        self._lock = Lock()  # the tensors of a recording are used again and again

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Returns the function's outputs for these inputs."""
        shape = tuple(one.shape for one in inputs)
        with self._lock, torch.inference_mode():
            if shape not in self._recorded:
                if len(self._recorded) >= SHAPES:
                    return self._run(inputs)
                own = [one.clone() for one in inputs]
                self._recorded[shape] = own, self._record(self._run, own)
            own, (outputs, replay) = self._recorded[shape]
            for mine, given in zip(own, inputs, strict=True):
                mine.copy_(given, non_blocking=True)
            replay()
            return [one.clone() for one in outputs]


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

    Its float32 convolutions on a CPU are direct ones, beside which those of `model.winograd` take less time.

    Args:
        precision: that of the arithmetic inside.
        cache: not used.
        streams: parts of a batch at a time, on a CPU. With 1, a batch has all threads: for frames that come one by one.
    """

    name: ClassVar[EngineName] = "torch"

    def __init__(
        self, precision: EnginePrecision = "float32", cache: Path | None = None, streams: int = STREAMS
    ) -> None:
        super().__init__(precision)
        self.streams = min(streams, torch.get_num_threads())
        self._pool: ThreadPoolExecutor | None = None

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        """Returns a function that runs the graph; on a GPU it is recorded and replayed."""
        run = self._run(self._ready(graph, example), example[0].device)
        if example[0].is_cuda:
            return Replaying(run)
        if self.streams == 1:
            return run
        self._pool = self._pool or threads_beside(self.streams)
        return InParts(run, self._pool, self.streams)

    def _ready(self, graph: nn.Module, example: Sequence[Tensor]) -> nn.Module:
        if self.precision == "float32" and example[0].device.type == "cpu":
            use_winograd(graph.eval(), example)
        return graph.eval()

    def _run(self, graph: Any, device: torch.device) -> Run:
        dtype = DTYPES.get(self.precision)

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            lower = nullcontext() if dtype is None else torch.autocast(device.type, dtype)
            with torch.inference_mode(), lower:
                return [one.float() for one in graph(*inputs)]

        return run


class CompileEngine(TorchEngine):
    """Networks compiled by torch.compile, which needs a C++ compiler and takes its time at the first batches."""

    name = "compile"

    def __init__(
        self, precision: EnginePrecision = "float32", cache: Path | None = None, streams: int = STREAMS
    ) -> None:
        super().__init__(precision, streams=1)  # its code has the number of threads in it

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        """Returns a function that runs the graph compiled."""
        run = self._run(torch.compile(self._ready(graph, example)), example[0].device)
        try:
            run(example)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"torch.compile does not work here ({reason}): use another --engine") from None
        return run
