"""The engine of OpenVINO, which compiles for Intel's and ARM's CPUs."""

from __future__ import annotations

import hashlib
import io
import logging
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from msflow_stream.config.engines import STREAMS, EnginePrecision
from msflow_stream.scoring.engines.base import Engine, Run, Samples, missing
from msflow_stream.scoring.engines.direct_convolutions import direct_convolutions
from msflow_stream.scoring.engines.onnx_engine import graph_to_onnx
from msflow_stream.types import UserError

log = logging.getLogger(__name__)

EIGHT_BITS = "int8"  # in a cache folder
HINTS = {"float32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}


def check_quantiser() -> None:
    """Checks that the quantiser is installed.

    Raises:
        UserError: it is not.
    """
    try:
        import nncf  # noqa: F401
    except ImportError:
        raise missing("nncf", "openvino") from None


def quantised(core: Any, source: bytes, samples: Samples, cache: Path | None) -> Any:
    """Returns an OpenVINO model in eight bits (NNCF's post-training quantisation).

    Args:
        core: OpenVINO's core.
        source: the network, as ONNX.
        samples: batches of its inputs, of normal frames; not asked for if the cache has the model.
        cache: folder with models by what they were made of; one that cannot be written to stays as it is.
    """
    kept = None if cache is None else cache / f"{_digest(source)}.xml"
    if kept is not None and kept.exists():
        return core.read_model(kept)
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    batches = [[one.numpy() for one in sample] for sample in samples()]
    log.info("finding the ranges of numbers in %d batches of normal frames, once for these weights", len(batches))
    with redirect_stdout(io.StringIO()):  # bars of progress
        model = nncf.quantize(core.read_model(source), nncf.Dataset(batches), subset_size=len(batches))
    if kept is not None:
        _keep(model, kept)
    return model


def _keep(model: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_openvino(model, path)
    except (OSError, RuntimeError) as error:
        log.debug("the model in eight bits is not kept: %s", error)


def _digest(source: bytes) -> str:
    return hashlib.sha256(f"{version('openvino')} {version('nncf')} ".encode() + source).hexdigest()[:32]


class OpenVinoEngine(Engine):
    """Networks compiled by OpenVINO, for the CPU, on as many threads as torch has.

    Frames of a batch go through a network beside one another, each on a thread or a few of its own: threads that
    share the work on a batch wait for one another at each of its hundreds of steps, and it leaves their caches.

    Args:
        precision: that of the arithmetic inside.
        cache: folder that keeps networks in eight bits, which take a while to make.
        streams: frames at a time. With 1, a frame has all threads: for frames that come one by one.
    """

    name = "openvino"

    def __init__(
        self, precision: EnginePrecision = "float32", cache: Path | None = None, streams: int = STREAMS
    ) -> None:
        super().__init__(precision)
        try:
            self._core, self._cache = shared_core(), cache and cache / EIGHT_BITS
        except ImportError:
            raise missing("openvino", self.info.extra) from None
        if precision == "int8":
            check_quantiser()
        self.streams = min(streams, torch.get_num_threads())

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        """Returns a function that runs the graph as OpenVINO compiled it."""
        source = graph_to_onnx(graph, example, spell_out=self.precision == "float32")
        if self.precision == "int8":
            return self.run(quantised(self._core, source, samples, self._cache))
        return self.run(self._core.read_model(source))

    def run(self, model: Any) -> Run:
        """Returns a function that runs an OpenVINO model, a frame at a time.

        For sizes that are known OpenVINO joins operators, and plans memory: that takes a quarter off a flow's time.

        Raises:
            UserError: a precision that this CPU lacks.
        """
        model.reshape({one: [1, *one.get_partial_shape()[1:]] for one in model.inputs})
        if self.precision == "float32":
            model = direct_convolutions(self._core, model)
        hint = HINTS[self.precision]
        asked = {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # or the first stream of every network would be on the same core
        }
        try:
            compiled = self._core.compile_model(model, "CPU", asked)
        except RuntimeError as error:
            raise self._lacks(str(error).strip().splitlines()[-1]) from None
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != hint:
            raise self._lacks("OpenVINO would use float32")
        return _Streams(compiled, self.streams)

    def _lacks(self, why: str) -> UserError:
        return UserError(f"OpenVINO does not score in {self.precision} here ({why}): use --precision float32")


def shared_core() -> Any:
    """Returns the OpenVINO of this process.

    There is one, and it is kept to the end: it gives the thread that first compiles a stack for signals, and when one
    of several is let go, the thread is left with a stack that is gone. The next Ctrl-C would be a crash.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    import openvino

    return _kept(openvino)


@cache
def _kept(openvino: Any) -> Any:
    core = openvino.Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")  # takes up what it needs for the CPU, before anyone else's does
    return core


class _Streams:
    """Takes a batch frame by frame, as many at a time as the network was compiled for."""

    def __init__(self, compiled: Any, streams: int) -> None:
        self._requests = [compiled.create_infer_request() for _ in range(streams)]
        self._outputs = range(len(compiled.outputs))
        self._lock = Lock()

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        frames = list(zip(*([one[None].contiguous().numpy() for one in each] for each in inputs), strict=True))
        with self._lock:
            taken = self._run([list(frame) for frame in frames])
        return [torch.cat(each) if len(each) > 1 else each[0] for each in zip(*taken, strict=True)]

    def _run(self, frames: Sequence[list[Any]]) -> list[list[Tensor]]:
        """The outputs for each frame; nothing runs any more when it returns or raises."""
        taken: list[list[Tensor]] = []
        running: deque[Any] = deque()
        try:
            for number, frame in enumerate(frames):
                if len(running) == len(self._requests):
                    taken.append(self._result(running))
                request = self._requests[number % len(self._requests)]  # the one whose result was taken last
                request.start_async(frame, share_inputs=True)
                running.append(request)
            while running:
                taken.append(self._result(running))
        finally:
            for request in running:
                with suppress(RuntimeError):
                    request.wait()
        return taken

    def _result(self, running: deque[Any]) -> list[Tensor]:
        """Copies of the outputs of the request that was started first."""
        running[0].wait()
        request = running.popleft()
        return [torch.from_numpy(request.get_output_tensor(output).data.copy()) for output in self._outputs]


def save_openvino(model: object, path: Path) -> None:
    """Writes both files of an OpenVINO model, the one that names the other last."""
    import openvino

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        made = Path(folder) / path.name
        openvino.save_model(model, made, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            made.with_suffix(suffix).replace(path.with_suffix(suffix))
