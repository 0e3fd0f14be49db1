"""PyTorch itself, as it is or compiled, on the CPU and on GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msflow_stream.config.settings import EngineName
from msflow_stream.engines.replaying import Replaying
from msflow_stream.model.fused.winograd import use_winograd
from msflow_stream.scoring.engines.base import Engine, Run, Samples
from msflow_stream.types import UserError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine(Engine):
    """Networks run by PyTorch; in lower precisions, convolutions and matrix products have them, the rest is float32.

    Its float32 convolutions on a CPU are direct ones, beside which those of `model.winograd` take less time.
    """

    name: ClassVar[EngineName] = "torch"
    precisions = ("float32", "bf16", "fp16")

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        run = self._run(self._ready(graph, example), example[0].device)
        return Replaying(run) if example[0].is_cuda else run

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

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        run = self._run(torch.compile(self._ready(graph, example)), example[0].device)
        try:
            run(example)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"torch.compile does not work here ({reason}): use another --engine") from None
        return run
