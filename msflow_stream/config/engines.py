"""The registry of engines: their names, and what can be known of each without importing what it needs.

An engine is one file of `scoring.engines` that defines its class, and its name and its entry here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from msflow_stream.scoring.engines.base import Engine

EngineName = Literal["auto", "torch", "compile", "openvino", "onnxruntime", "tensorrt"]
EnginePrecision = Literal["auto", "float32", "tf32", "bf16", "fp16", "int8"]

HOME = "msflow_stream.scoring.engines"
STREAMS = 4  # frames at a time, at most: a frame has a few threads for itself where there are many


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The facts about an engine.

    Attributes:
        reference: its class, as `module:class` below `scoring.engines`.
        devices: kinds of device that it runs on.
        precisions: those that its arithmetic can have.
        package: the package that runs the networks.
        extra: the extra of pip that installs the package; None: it is always installed.
        tried: precisions in which `auto` tries it on a CPU.
        tried_on_gpu: precisions in which it is tried on a GPU, where the precision is left to `auto`.
        unless: the engine beside which `auto` does not try it, as it came second wherever both were measured.
    """

    reference: str
    devices: tuple[Literal["cpu", "cuda"], ...]
    precisions: tuple[EnginePrecision, ...]
    package: str = "torch"
    extra: str | None = None
    tried: tuple[EnginePrecision, ...] = ()
    tried_on_gpu: tuple[EnginePrecision, ...] = ()
    unless: EngineName | None = None

    def make(self, precision: EnginePrecision, cache: Path | None = None, streams: int = STREAMS) -> Engine:
        """Returns the engine; the arguments are those of `Engine`.

        Raises:
            UserError: it is not installed, or does not have the precision.
        """
        module, _, name = self.reference.partition(":")
        engine: Engine = getattr(import_module(f"{HOME}.{module}"), name)(precision, cache, streams)
        return engine


ENGINES: dict[EngineName, EngineInfo] = {
    "torch": EngineInfo(
        "torch_engine:TorchEngine",
        ("cpu", "cuda"),
        ("float32", "tf32", "bf16", "fp16"),
        tried=("float32",),
        tried_on_gpu=("float32", "tf32", "bf16", "fp16"),
    ),
    "compile": EngineInfo(  # not tried beside others: compiling alone would take longer than a trial may
        "compile_engine:CompileEngine",
        ("cpu", "cuda"),
        ("float32", "tf32", "bf16", "fp16"),
        tried_on_gpu=("float32", "bf16", "fp16"),
    ),
    "openvino": EngineInfo(
        "openvino_engine:OpenVinoEngine",
        ("cpu",),
        ("float32", "bf16", "fp16", "int8"),
        "openvino",
        "openvino",
        tried=("float32", "bf16"),
    ),
    "onnxruntime": EngineInfo(
        "onnx_engine:OnnxRuntimeEngine",
        ("cpu",),
        ("float32",),
        "onnxruntime",
        "onnx",
        tried=("float32",),
        unless="openvino",
    ),
    "tensorrt": EngineInfo(
        "tensorrt_engine:TensorRtEngine",
        ("cuda",),
        ("float32", "tf32", "fp16"),
        "onnxruntime",
        "tensorrt",
        tried_on_gpu=("tf32", "fp16"),
    ),
}
