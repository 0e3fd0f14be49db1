"""TensorRT, NVIDIA's compiler for its GPUs, through onnxruntime."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msflow_stream.config.engines import STREAMS, EngineName, EnginePrecision
from msflow_stream.scoring.engines.base import Engine, Run, Samples, missing
from msflow_stream.scoring.engines.onnx_binding import BoundSession
from msflow_stream.scoring.engines.onnx_engine import export_graph, import_runtime
from msflow_stream.types import UserError

TENSORRT, CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"
LEAST, USUAL, MOST = 1, 8, 32  # images at a time: a network is built once for all of these, at its best for the second
NOT_TAKEN = (
    "onnxruntime left TensorRT out and would score with {rest} instead, without a word: the libraries of TensorRT or "
    "CUDA are missing or of other versions than it was built for. pip install 'msflow-stream[tensorrt]', or use "
    "--engine torch"
)


class TensorRtEngine(Engine):
    """Networks built by TensorRT; tensors stay on the GPU from one network to the next.

    TensorRT itself computes float32 as TF32, and onnxruntime has no switch for it. So float32 is there only for a
    process that was started with NVIDIA_TF32_OVERRIDE=0.

    Args:
        precision: that of the arithmetic inside.
        cache: folder that keeps what was built, which takes minutes; nothing is kept if None.
        streams: not used.
    """

    name: ClassVar[EngineName] = "tensorrt"

    def __init__(self, precision: EnginePrecision = "fp16", cache: Path | None = None, streams: int = STREAMS) -> None:
        super().__init__(precision)
        self._runtime, self._cache = import_runtime(self.info.extra), cache
        if TENSORRT not in self._runtime.get_available_providers():
            raise missing("onnxruntime-gpu with TensorRT", self.info.extra)
        if precision == "float32" and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0":
            raise UserError(
                "TensorRT computes float32 as TF32 here: use --precision tf32, or start with NVIDIA_TF32_OVERRIDE=0"
            )

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        """Returns a function that runs the graph as TensorRT built it, now or in an earlier process.

        Raises:
            UserError: onnxruntime would not run it by TensorRT.
        """
        exported = export_graph(graph, example)
        return self.run(exported.source, exported.shapes, example)

    def run(self, source: bytes, shapes: Sequence[Sequence[int]], example: Sequence[Tensor]) -> BoundSession:
        """Returns the function of an ONNX model.

        Args:
            source: the model; its inputs are in0, in1 and so on.
            shapes: of its outputs, but for the batch.
            example: its inputs, for any number of images.

        Raises:
            UserError: onnxruntime would not run it by TensorRT.
        """
        device = example[0].device
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        session = self._session(source, self.providers(source, example, stream.cuda_stream))
        options = self._runtime.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")  # torch waits on the GPU
        return BoundSession(session, shapes, device, MOST, stream, options)

    def providers(self, source: bytes, example: Sequence[Tensor], stream: int) -> list[tuple[str, dict[str, str]]]:
        """Returns TensorRT, and CUDA for the operators that it lacks, each with its options.

        Args:
            source: the ONNX model.
            example: its inputs.
            stream: the address of the stream that both work on.
        """
        place = {"device_id": str(example[0].device.index or 0), "user_compute_stream": str(stream)}
        fp16 = "1" if self.precision == "fp16" else "0"
        tensorrt = {"trt_fp16_enable": fp16, "trt_layer_norm_fp32_fallback": fp16, **_profiles(example)}
        if self._cache is not None:
            tensorrt |= self._kept(self._cache, source, example[0].device)
        return [(TENSORRT, place | tensorrt), (CUDA, place | {"use_tf32": "1" if self.precision == "tf32" else "0"})]

    def _kept(self, cache: Path, source: bytes, device: torch.device) -> Mapping[str, str]:
        """Options that keep what is built.

        onnxruntime names a network by its operators, not by its weights: in one folder, a scene would get the network
        of another. So each model has a folder of its own. What kernels were timed at holds for all models on a GPU.
        """
        versions = f"{self._runtime.__version__} {_tensorrt_version()} {self.precision} "
        digest = hashlib.sha256(versions.encode() + source).hexdigest()[:32]
        of_gpu = cache / "tensorrt" / re.sub(r"\W+", "-", torch.cuda.get_device_name(device))
        folder = of_gpu / digest
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"TensorRT cannot keep its networks in {folder}: {error.strerror}") from error
        return {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(of_gpu),
        }

    def _session(self, source: bytes, providers: Sequence[tuple[str, Mapping[str, str]]]) -> Any:
        _tensorrt_version()
        options = self._runtime.SessionOptions()
        options.log_severity_level = 3
        try:
            session = self._runtime.InferenceSession(source, options, providers=list(providers))
        except Exception as error:  # onnxruntime's own are of no common kind
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(f"TensorRT cannot build the networks ({reason}): use another --engine") from error
        taken = session.get_providers()
        if taken[:1] != [TENSORRT]:
            raise UserError(NOT_TAKEN.format(rest=" and ".join(taken) or "nothing"))
        return session


def _profiles(example: Sequence[Tensor]) -> dict[str, str]:
    """Options for the sizes to come: without them, every new batch size would build the network again, for minutes."""

    def shapes(batch: int) -> str:
        sizes = ("x".join(str(one) for one in (batch, *tensor.shape[1:])) for tensor in example)
        return ",".join(f"in{number}:{size}" for number, size in enumerate(sizes))

    return {
        f"trt_profile_{kind}_shapes": shapes(batch) for kind, batch in (("min", LEAST), ("opt", USUAL), ("max", MOST))
    }


def _tensorrt_version() -> str:
    """The version of TensorRT's package; importing it loads the libraries that onnxruntime then finds."""
    try:
        import tensorrt
    except (ImportError, OSError):  # installed in another way, where the linker finds it, or not at all
        return "unknown"
    return str(tensorrt.__version__)
