"""OpenVINO: compiles for Intel's and ARM's CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from msflow_stream.config import EnginePrecision
from msflow_stream.engines.engine import Engine, Run, Samples, missing
from msflow_stream.engines.onnx_graph import graph_to_onnx
from msflow_stream.engines.quantising import check_quantiser, quantised
from msflow_stream.types import UserError

HINTS = {"float32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}


class OpenVinoEngine(Engine):
    """Networks compiled by OpenVINO, for the CPU, on as many threads as torch has.

    Args:
        precision: of the arithmetic inside.
        cache: folder that keeps networks in eight bits, which take a while to make.
    """

    name = "openvino"
    precisions = ("float32", "bf16", "fp16", "int8")

    def __init__(self, precision: EnginePrecision = "float32", cache: Path | None = None) -> None:
        super().__init__(precision)
        try:
            import openvino
        except ImportError:
            raise missing("openvino", "openvino") from None
        if precision == "int8":
            check_quantiser()
        self._core, self._cache = openvino.Core(), cache

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        source = graph_to_onnx(graph, example)
        if self.precision == "int8":
            return self.run(quantised(self._core, source, samples, self._cache))
        return self.run(self._core.read_model(source))

    def run(self, model: Any) -> Run:
        """What an OpenVINO model computes.

        Raises:
            UserError: a precision that this CPU lacks.
        """
        hint = HINTS[self.precision]
        asked = {
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        try:
            compiled = self._core.compile_model(model, "CPU", asked)
        except RuntimeError as error:
            raise self._lacks(str(error).splitlines()[-1]) from None
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != hint:
            raise self._lacks("OpenVINO would use float32")
        request, lock = compiled.create_infer_request(), Lock()

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            arrays = [one.contiguous().numpy() for one in inputs]
            with lock:
                results = request.infer(arrays, share_inputs=True)
                return [torch.from_numpy(results[output]) for output in compiled.outputs]

        return run

    def _lacks(self, why: str) -> UserError:
        return UserError(f"this CPU does not score in {self.precision} ({why}): use --precision float32")
