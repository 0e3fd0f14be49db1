"""The engine of torch.compile: code made for one network and one batch size, on the CPU and on GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from types import CodeType, FunctionType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msflow_stream.config.engines import STREAMS, EngineName, EnginePrecision
from msflow_stream.machine import tf32
from msflow_stream.model.fused.winograd import use_winograd
from msflow_stream.scoring.engines.base import Engine, Run, Samples, check_precision
from msflow_stream.scoring.engines.recording import SIZES, RecordedRun
from msflow_stream.types import UserError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
Backend = str | Callable[..., Any]


class CompileEngine(Engine):
    """Networks compiled by torch.compile, which needs a C++ compiler and takes its time at the first batches.

    torch keeps what it compiled with a function's code, up to a limit beyond which it runs uncompiled. So each network
    and each batch size has a code of its own, and what cannot be compiled is an error.

    Args:
        precision: that of the arithmetic inside.
        cache: not used: torch has a cache of its own.
        streams: not used: the code has the number of threads in it.
        backend: what compiles the graphs that torch found, as torch.compile has it.
    """

    name: ClassVar[EngineName] = "compile"

    def __init__(
        self,
        precision: EnginePrecision = "float32",
        cache: Path | None = None,
        streams: int = STREAMS,
        backend: Backend = "inductor",
    ) -> None:
        super().__init__(precision)
        self._backend = backend

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        """Returns a function that runs the graph compiled.

        Raises:
            UserError: this machine cannot compile it.
        """
        check_precision(self.precision, example[0].device)
        if self.precision == "float32" and example[0].device.type == "cpu":
            use_winograd(graph.eval(), example)
        run = self._run(graph.eval(), example[0].device)
        try:
            run(example)
        except (torch._dynamo.exc.TorchDynamoException, torch._dynamo.exc.FailOnRecompileLimitHit) as error:
            reason = " ".join(line.strip() for line in str(error).strip().splitlines()[:2])
            raise UserError(f"torch.compile does not work here ({reason}): use another --engine") from None
        return run

    def _run(self, graph: nn.Module, device: torch.device) -> Run:
        """A function that compiles the graph for each size as it meets it; on a GPU, each is recorded then."""
        compiled = CompiledSizes(graph, self._backend)
        dtype = DTYPES.get(self.precision)

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            lower = nullcontext() if dtype is None else torch.autocast(device.type, dtype)
            with torch.inference_mode(), lower, tf32() if self.precision == "tf32" else nullcontext():
                # Tensors of the one kind that torch knows in this mode: for others it would compile once more.
                given = [one if one.is_inference() else one.clone() for one in inputs]
                return [one.float() for one in compiled(given)]

        of_any_size = padded(run, SIZES)  # also for what cannot be recorded
        return of_any_size if device.type == "cpu" else RecordedRun(of_any_size)


class CompiledSizes:
    """A graph as a function of batches, compiled for each size that it meets.

    Args:
        graph: takes and returns tensors, all B x ..
        backend: as torch.compile has it.
    """

    def __init__(self, graph: nn.Module, backend: Backend) -> None:
        self._graph, self._backend = graph, backend
        self._made: dict[int, Callable[..., tuple[Tensor, ...]]] = {}
        self._lock = Lock()

    def __call__(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns the graph's outputs."""
        size = len(inputs[0])
        made = self._made.get(size)
        if made is not None:
            return made(self._graph, *inputs)
        with self._lock:
            made = self._made.get(size) or self._compiled(size)
            found = made(self._graph, *inputs)  # it is compiled now
            self._made[size] = made
        return found

    def _compiled(self, size: int) -> Callable[..., tuple[Tensor, ...]]:
        function = FunctionType(_own_code(size), globals())
        made: Callable[..., tuple[Tensor, ...]] = torch.compile(
            function, backend=self._backend, fullgraph=True, dynamic=False
        )
        return made


def _call(graph: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    found: tuple[Tensor, ...] = graph(*inputs)
    return found


def _own_code(size: int) -> CodeType:
    """A new copy of `_call`'s code, under whose identity torch keeps what it compiled."""
    return _call.__code__.replace(co_name=f"batch_of_{size}")


def padded(run: Run, sizes: Sequence[int]) -> Run:
    """Returns a function of any batch that calls `run` with batches of these sizes only.

    What is missing to the next size are further images like the last one, whose results are left out. Batches beyond
    the largest go in parts.

    Args:
        run: what it says of an image does not depend on the others.
        sizes: in ascending order.
    """

    def of_any_size(inputs: Sequence[Tensor]) -> list[Tensor]:
        count = len(inputs[0])
        if count in sizes:
            return run(inputs)
        with torch.inference_mode():
            if count > sizes[-1]:
                parts = [
                    of_any_size(part) for part in zip(*(torch.split(one, sizes[-1]) for one in inputs), strict=True)
                ]
                return [torch.cat(scale) for scale in zip(*parts, strict=True)]
            more = next(size for size in sizes if size > count) - count
            filled = [torch.cat([one, one[-1:].expand(more, *one.shape[1:])]) for one in inputs]
            return [one[:count] for one in run(filled)]

    return of_any_size
