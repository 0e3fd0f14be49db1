"""onnxruntime, on the CPU, and through it TensorRT on NVIDIA's GPUs."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from msflow_stream.config.engines import STREAMS, EngineName, EnginePrecision
from msflow_stream.scoring.engines.base import Engine, Run, Samples, missing

OPSET = 17  # has LayerNormalization
# atan x / x between -1 and 1 by powers of x^2 (Abramowitz and Stegun 1964, 4.4.49).
ATAN = (
    *(1, -0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393),
    *(-0.0752896400, 0.0429096138, -0.0161657367, 0.0028662257),
)
ONE_AT_A_TIME = Lock()  # torch's exporter keeps its state for the whole process


class _Replacing(TorchFunctionMode):
    """Functions of torch replaced by others."""

    def __init__(self, replacements: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        super().__init__()
        self._replacements = replacements

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self._replacements.get(func, func)(*args, **(kwargs or {}))


def pooled(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """Returns `adaptive_avg_pool2d`: average pooling where sizes divide, else two matrix products."""
    height, width = int(input.shape[2]), int(input.shape[3])
    rows, columns = (output_size, output_size) if isinstance(output_size, int) else output_size
    rows, columns = rows or height, columns or width
    if height % rows == 0 and width % columns == 0:
        return F.avg_pool2d(input, (height // rows, width // columns))
    return _means(height, rows) @ input @ _means(width, columns).T


def spelled_tanh(input: Tensor) -> Tensor:
    """Returns `tanh`, by the exponential that runtimes have in vector form: to 1e-7."""
    return torch.sigmoid(2 * input) * 2 - 1


def spelled_atan(input: Tensor) -> Tensor:
    """Returns `atan`, which runtimes have for one number at a time: to 2e-7.

    `atan x = 2 atan(x / (1 + sqrt(1 + x^2)))` brings every x between -1 and 1; there it is a polynomial.
    """
    bounded = input.clamp(-1e9, 1e9)  # beyond, its square has no place among floats; the result is that of the bound
    half = bounded / (1 + torch.sqrt(1 + bounded * bounded))
    square = half * half
    value = square * ATAN[-1] + ATAN[-2]
    for coefficient in reversed(ATAN[:-2]):
        value = value * square + coefficient
    return 2 * half * value


def _means(length: int, count: int) -> Tensor:
    """The matrix (count x length) of `adaptive_avg_pool1d`: cell i is the mean from floor(i n/m) to ceil((i+1) n/m)."""
    matrix = torch.zeros(count, length)
    for row in range(count):
        start, end = row * length // count, -(-(row + 1) * length // count)
        matrix[row, start:end] = 1 / (end - start)
    return matrix


def to_onnx(
    graph: nn.Module, example: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str], spell_out: bool = False
) -> bytes:
    """Returns the graph as an ONNX model with a free batch dimension.

    torch has two exporters; this uses the older one, which records what a call does: the newer one takes more than ten
    times as long for a flow.

    Args:
        graph: returns a tensor or a tuple of them, all B x ..; what it computes depends on no value.
        example: inputs, of at least two images.
        inputs, outputs: names to give.
        spell_out: whether functions that are slow in runtimes are replaced by formulas, made for float32.

    Raises:
        UserError: the package onnx is not installed.
    """
    try:
        import onnx  # noqa: F401  torch asks for it at the end
    except ImportError:
        raise missing("onnx", "onnx") from None
    file: Any = io.BytesIO()
    names = [*inputs, *outputs]
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with (
            ONE_AT_A_TIME,
            torch.no_grad(),
            warnings.catch_warnings(),
            _Replacing({**ALWAYS, **(SPELLED if spell_out else {})}),
        ):
            warnings.simplefilter("ignore")  # of the exporter's age, and of sizes that become constants, as they should
            torch.onnx.export(
                graph.eval(),
                tuple(example),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={name: {0: "batch"} for name in names},
            )
    finally:
        exporter.setLevel(level)
    return bytes(file.getvalue())


# By the functions that are called.
ALWAYS: dict[Callable[..., Any], Callable[..., Any]] = {F.adaptive_avg_pool2d: pooled}  # ONNX has no adaptive one
SPELLED: dict[Callable[..., Any], Callable[..., Any]] = {torch.tanh: spelled_tanh, torch.atan: spelled_atan}


def graph_to_onnx(graph: nn.Module, example: Sequence[Tensor], spell_out: bool = False) -> bytes:
    """Returns the graph as an ONNX model whose inputs and outputs are numbered; the rest is as of `to_onnx`."""
    with torch.inference_mode():
        count = len(graph(*example))
    inputs, outputs = ([f"{kind}{number}" for number in range(n)] for kind, n in (("in", len(example)), ("out", count)))
    return to_onnx(graph, [one.clone() for one in example], inputs, outputs, spell_out)


class OnnxRuntimeEngine(Engine):
    """Networks run by onnxruntime's CPU provider, on as many threads as torch has."""

    name: ClassVar[EngineName] = "onnxruntime"

    def __init__(
        self, precision: EnginePrecision = "float32", cache: Path | None = None, streams: int = STREAMS
    ) -> None:
        super().__init__(precision)
        try:
            import onnxruntime
        except ImportError:
            raise missing("onnxruntime", self.info.extra) from None
        self._runtime: Any = onnxruntime

    def providers(self) -> list[Any]:
        """Returns the providers that onnxruntime runs operators with, the first that can."""
        return ["CPUExecutionProvider"]

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        """Returns a function that runs the graph in a session of onnxruntime."""
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # see `cores.share_cores`
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

    def __init__(self, precision: EnginePrecision = "fp16", cache: Path | None = None, streams: int = STREAMS) -> None:
        super().__init__(precision)
        if "TensorrtExecutionProvider" not in self._runtime.get_available_providers():
            raise missing("onnxruntime-gpu with TensorRT", self.info.extra)

    def providers(self) -> list[Any]:
        """Returns TensorRT, and CUDA for the operators that it lacks."""
        return [("TensorrtExecutionProvider", {"trt_fp16_enable": self.precision == "fp16"}), "CUDAExecutionProvider"]
