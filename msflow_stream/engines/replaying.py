"""A GPU's work recorded once per shape of the batch and replayed: hundreds of kernels without a word from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import torch
from torch import Tensor

from msflow_stream.scoring.engines.base import Run

Recorded = tuple[list[Tensor], Callable[[], None]]  # outputs, and what computes them anew from the inputs
SHAPES = 8  # recordings kept: each holds memory of its own; batches of further shapes run as they are
WARM_UPS = 3  # before recording: libraries choose their kernels at first


def record_cuda_graph(run: Run, inputs: Sequence[Tensor]) -> Recorded:
    """Records what `run` does with these very tensors."""
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
