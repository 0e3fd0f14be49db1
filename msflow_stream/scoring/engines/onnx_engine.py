"""Networks as ONNX, and onnxruntime, which runs them on the CPU."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from msflow_stream.config.engines import STREAMS, EngineName, EnginePrecision
from msflow_stream.scoring.engines.base import Engine, Run, Samples, missing
from msflow_stream.scoring.engines.onnx_binding import BoundSession

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
    return _means(height, rows, input) @ input @ _means(width, columns, input).T


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


def _means(length: int, count: int, like: Tensor) -> Tensor:
    """The matrix (count x length) of `adaptive_avg_pool1d`: cell i is the mean from floor(i n/m) to ceil((i+1) n/m)."""
    matrix = torch.zeros(count, length, dtype=like.dtype, device=like.device)
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


class ExportedGraph(NamedTuple):
    """A graph as an ONNX model, and the shapes of its outputs but for the batch."""

    source: bytes
    shapes: list[tuple[int, ...]]


def export_graph(graph: nn.Module, example: Sequence[Tensor], spell_out: bool = False) -> ExportedGraph:
    """Returns the graph as an ONNX model whose inputs are in0, in1 and so on, and its outputs out0, out1 and so on.

    A graph on a GPU is exported by a copy of it on the CPU; the rest is as of `to_onnx`.
    """
    if any(one.device.type != "cpu" for one in example):
        graph, example = _on_cpu(graph), [one.cpu() for one in example]
    with torch.inference_mode():
        found = graph(*example)
    inputs, outputs = (
        [f"{kind}{number}" for number in range(n)] for kind, n in (("in", len(example)), ("out", len(found)))
    )
    source = to_onnx(graph, [one.clone() for one in example], inputs, outputs, spell_out)
    return ExportedGraph(source, [tuple(one.shape[1:]) for one in found])


def _on_cpu(graph: nn.Module) -> nn.Module:
    """A copy on the CPU; the GPU need not hold the weights twice."""
    copies: dict[int, Any] = {id(one): one.detach().cpu() for one in graph.buffers()}
    copies |= {id(one): nn.Parameter(one.detach().cpu(), one.requires_grad) for one in graph.parameters()}
    return copy.deepcopy(graph, copies)


def graph_to_onnx(graph: nn.Module, example: Sequence[Tensor], spell_out: bool = False) -> bytes:
    """Returns the ONNX model of `export_graph`."""
    return export_graph(graph, example, spell_out).source


def import_runtime(extra: str | None) -> Any:
    """Returns the module onnxruntime.

    Raises:
        UserError: it is not installed; `extra` would bring it.
    """
    try:
        import onnxruntime
    except ImportError:
        raise missing("onnxruntime", extra) from None
    return onnxruntime


class OnnxRuntimeEngine(Engine):
    """Networks run by onnxruntime's CPU provider, on as many threads as torch has."""

    name: ClassVar[EngineName] = "onnxruntime"

    def __init__(
        self, precision: EnginePrecision = "float32", cache: Path | None = None, streams: int = STREAMS
    ) -> None:
        super().__init__(precision)
        self._runtime = import_runtime(self.info.extra)

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        """Returns a function that runs the graph in a session of onnxruntime."""
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # see `cores.share_cores`
        options.log_severity_level = 3
        exported = export_graph(graph, example)
        session = self._runtime.InferenceSession(exported.source, options, providers=["CPUExecutionProvider"])
        return BoundSession(session, exported.shapes, torch.device("cpu"))
