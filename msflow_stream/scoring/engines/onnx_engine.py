"""onnxruntime, on the CPU, and through it TensorRT on NVIDIA's GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msflow_stream.config.settings import EngineName, EnginePrecision
from msflow_stream.engines.onnx_graph import graph_to_onnx
from msflow_stream.scoring.engines.base import Engine, Run, Samples, missing


class OnnxRuntimeEngine(Engine):
    """Networks run by onnxruntime's CPU provider, on as many threads as torch has."""

    name: ClassVar[EngineName] = "onnxruntime"
    precisions: ClassVar[tuple[EnginePrecision, ...]] = ("float32",)
    extra = "onnx"

    def __init__(self, precision: EnginePrecision = "float32") -> None:
        super().__init__(precision)
        try:
            import onnxruntime
        except ImportError:
            raise missing("onnxruntime", self.extra) from None
        self._runtime: Any = onnxruntime

    def providers(self) -> list[Any]:
        """What onnxruntime runs operators with, the first that can."""
        return ["CPUExecutionProvider"]

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        session = self._runtime.InferenceSession(graph_to_onnx(graph, example), options, providers=self.providers())
        names = [one.name for one in session.get_inputs()]

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            arrays = (one.cpu().contiguous().numpy() for one in inputs)
            return [torch.from_numpy(one) for one in session.run(None, dict(zip(names, arrays, strict=True)))]

        return run


class TensorRtEngine(OnnxRuntimeEngine):
    """Networks run by onnxruntime's TensorRT provider; features come back to the CPU between the two networks."""

    name = "tensorrt"
    precisions = ("float32", "fp16")
    extra = "tensorrt"

    def __init__(self, precision: EnginePrecision = "fp16") -> None:
        super().__init__(precision)
        if "TensorrtExecutionProvider" not in self._runtime.get_available_providers():
            raise missing("onnxruntime-gpu with TensorRT", self.extra)

    def providers(self) -> list[Any]:
        return [("TensorrtExecutionProvider", {"trt_fp16_enable": self.precision == "fp16"}), "CUDAExecutionProvider"]
