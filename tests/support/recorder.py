"""Recordings without a GPU: a replay computes again, into the same tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from msflow_stream.scoring.engines.base import Run
from msflow_stream.scoring.engines.recording import Recording
from msflow_stream.scoring.engines.torch_engine import TorchEngine


class Recorder:
    """In the place of CUDA's graphs. Counts what it is asked for."""

    def __init__(self, nbytes: int = 100) -> None:
        self.recorded: list[tuple[int, ...]] = []  # shapes of the first inputs
        self.replayed = 0
        self.nbytes = nbytes

    def __call__(self, run: Run, inputs: Sequence[Tensor]) -> Recording:
        own = [one.clone() for one in inputs]
        outputs = [one.clone() for one in run(own)]
        self.recorded.append(tuple(inputs[0].shape))

        def replay() -> None:
            self.replayed += 1
            for kept, new in zip(outputs, run(own), strict=True):
                kept.copy_(new)

        return Recording(own, outputs, replay, self.nbytes)


class SimulatedGpu(TorchEngine):
    """PyTorch's engine as it is on a GPU, on the CPU: networks of its own, recorded."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        super().__init__()
        self.record = recorder or Recorder()  # type: ignore[assignment]

    def records(self, device: torch.device) -> bool:
        return True
