"""onnxruntime and TensorRT: torch's tensors are read and written in place; nothing scores on a CPU without a word."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.config.engines import EnginePrecision
from msflow_stream.model.fused import FusedFlow, FusedPyramid
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines.base import FeatureGraph, LikelihoodGraph
from msflow_stream.scoring.engines.onnx_binding import BoundSession
from msflow_stream.scoring.engines.onnx_engine import OnnxRuntimeEngine, export_graph, pooled
from msflow_stream.scoring.engines.tensorrt_engine import CUDA, MOST, TENSORRT, TensorRtEngine
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import UserError
from tests.support.fake_gpu import CUDA as FAKE_CUDA
from tests.support.fake_gpu import FakeGpu, fake_cuda
from tests.support.footage import frames, small_settings

REAL: Any = import_module("onnxruntime") if find_spec("onnxruntime") else None
CPU, SECOND = torch.device("cpu"), torch.device("cuda:1")
TAKEN = [TENSORRT, CUDA, "CPUExecutionProvider"]


class TwoOutputs(nn.Module):
    """Two inputs of several sizes to two outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(2, 5, 3, stride=2)

    def forward(self, images: Tensor, others: Tensor) -> tuple[Tensor, ...]:
        return torch.tanh(self.first(images)), self.second(others).mean((2, 3))


def inputs(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    return [torch.randn(count, 3, 8, 9, generator=generator), torch.randn(count, 2, 6, 7, generator=generator)]


@pytest.mark.parametrize("most", [None, 32, 7])
def test_a_bound_session_computes_what_the_graph_does_for_every_batch(most: int | None) -> None:
    runtime = pytest.importorskip("onnxruntime")
    graph = TwoOutputs()
    source, shapes = export_graph(graph, inputs(2))
    run = BoundSession(runtime.InferenceSession(source, providers=["CPUExecutionProvider"]), shapes, CPU, most)
    for count in (1, 3, 8, 40):
        first, second = inputs(count)
        given = [first.contiguous(memory_format=torch.channels_last), second.double()]
        with torch.inference_mode():
            for found, expected in zip(run(given), graph(first, second), strict=True):
                assert found.dtype == torch.float32
                assert torch.allclose(found, expected, atol=1e-5)


def test_a_bound_session_keeps_no_tensor_of_an_earlier_batch() -> None:
    pytest.importorskip("onnxruntime")
    graph = TwoOutputs()
    run = OnnxRuntimeEngine().compile(graph, inputs(2), lambda: [])
    first = run(inputs(3))
    kept = [one.clone() for one in first]
    run([one + 1 for one in inputs(3)])
    assert all(torch.equal(mine, before) for mine, before in zip(first, kept, strict=True))


def test_the_work_of_a_session_comes_after_what_torch_was_told_and_before_what_it_will_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    told: list[str] = []

    class Stream:
        def __init__(self, name: str) -> None:
            self.name = name

        def wait_stream(self, other: Stream) -> None:
            told.append(f"{self.name} after {other.name}")

    torchs, own = Stream("torch"), Stream("session")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: torchs)
    source, shapes = export_graph(TwoOutputs(), inputs(2))
    session = runtime.InferenceSession(source, providers=["CPUExecutionProvider"])

    class Noted:
        def __getattr__(self, name: str) -> Any:
            if name == "run_with_iobinding":
                told.append("session works")
            return getattr(session, name)

    run = BoundSession(Noted(), shapes, CPU, most=4, stream=own)
    run(inputs(6))
    assert told == ["session after torch", "session works", "session works", "torch after session"]
    with pytest.raises(RuntimeError, match=r"onnxruntime: .*dimension"):
        run([one[..., :4] for one in inputs(2)])
    assert told[-1] == "torch after session"


def test_the_same_graph_is_the_same_model() -> None:
    pytest.importorskip("onnx")
    assert export_graph(TwoOutputs(), inputs(2)) == export_graph(TwoOutputs(), inputs(2))


@pytest.mark.parametrize("size", [(15, 20), (16, 20)])
def test_pooling_of_any_size_stays_on_its_device_and_in_its_precision(size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size)
    assert torch.allclose(pooled(images, (8, 10)), F.adaptive_avg_pool2d(images, (8, 10)), atol=1e-6)
    with FakeGpu():
        found = pooled(torch.empty(2, 3, *size, device=FAKE_CUDA, dtype=torch.float16), (8, 10))
    assert (found.device, found.dtype, found.shape) == (FAKE_CUDA, torch.float16, (2, 3, 8, 10))


def test_networks_on_a_gpu_are_exported_by_copies_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a fake tensor has no values to write into a file, the exporter is replaced by one look at the graph."""
    scene = Scene.new("odd", small_settings("score.kind=paper", "input.size=[120,168]"))
    seen: list[set[str]] = []

    def look(graph: nn.Module, example: Sequence[Tensor], *_: object, **__: object) -> None:
        seen.append({one.device.type for one in (*graph.parameters(), *graph.buffers(), *example)})
        graph(*example)

    monkeypatch.setattr(torch.onnx, "export", look)
    pytest.importorskip("onnx")
    features = FeatureGraph(FusedPyramid(scene.pyramid))
    sizes = [(one.shape[2], one.shape[3]) for one in features(torch.zeros(2, 3, 120, 168))]
    channels = scene.pyramid.channels
    flow = LikelihoodGraph(FusedFlow(scene.flow, sizes))
    with FakeGpu():
        on_gpu = [fake_cuda(features), fake_cuda(flow)]
        images = torch.empty(2, 3, 120, 168, device=FAKE_CUDA)
        maps = [torch.empty(2, c, *size, device=FAKE_CUDA) for c, size in zip(channels, sizes, strict=True)]
    made = [export_graph(graph, one) for graph, one in zip(on_gpu, ([images], maps), strict=True)]
    left = {one.device.type for graph in on_gpu for one in (*graph.parameters(), *graph.buffers())}
    assert (seen, left) == ([{"cpu"}, {"cpu"}], {"cuda"})
    assert made[0].shapes == [(c, *size) for c, size in zip(channels, sizes, strict=True)]
    assert made[1].shapes == sizes


class FakeRuntime(ModuleType):
    """onnxruntime as one with TensorRT looks from outside: sessions keep what they were made with."""

    def __init__(self, taken: Sequence[str] = TAKEN, error: Exception | None = None) -> None:
        super().__init__("onnxruntime")
        self.__version__ = "1.31.0"
        self.taken, self.error = list(taken), error
        self.made: list[dict[str, dict[str, str]]] = []
        self.SessionOptions = self.RunOptions = FakeOptions

    def InferenceSession(self, source: bytes, options: Any, providers: list[Any]) -> Any:
        if self.error is not None:
            raise self.error
        self.made.append(dict(providers))
        return SimpleNamespace(get_providers=lambda: self.taken, get_inputs=list, get_outputs=list)

    def get_available_providers(self) -> list[str]:
        return TAKEN


class FakeOptions:
    def add_run_config_entry(self, key: str, value: str) -> None:
        self.__dict__[key] = value


class FakeStream:
    def __init__(self, device: torch.device) -> None:
        self.cuda_stream = 4711

    def wait_stream(self, other: FakeStream) -> None:
        pass


class Posing(FakeRuntime):
    """The real onnxruntime of a CPU, which says that it has TensorRT and has taken it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(REAL, name)

    def InferenceSession(self, source: bytes, options: Any, providers: list[Any]) -> Any:
        super().InferenceSession(source, options, providers)
        session = REAL.InferenceSession(source, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: self.taken
        return session


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeRuntime]:
    """Installs a fake onnxruntime on a machine with two GPUs."""
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA H{200 + device.index} NVL")
    monkeypatch.setitem(sys.modules, "tensorrt", None)

    def made(*arguments: Any) -> FakeRuntime:
        runtime = FakeRuntime(*arguments)
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
        return runtime

    return made


def test_a_scene_scores_through_the_engine_of_tensorrt(
    install: Callable[..., FakeRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    runtime = Posing()
    install()
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    runtime.RunOptions = REAL.RunOptions
    scene, engine = Scene.new("gate", small_settings("score.kind=paper")), TensorRtEngine("fp16")
    inference = EngineInference(lambda _: engine)
    batches = [list(frames(count)) for count in (1, 3, 40)]
    for batch in batches:
        found, expected = (Scorer(scene, "cpu", None, one).score(batch) for one in (inference, None))
        assert [one.surprise for one in found] == pytest.approx([one.surprise for one in expected], rel=1e-4)
        assert [one.score for one in found] == pytest.approx([one.score for one in expected], rel=1e-4)
    inputs = [made[TENSORRT]["trt_profile_max_shapes"].count("in") for made in runtime.made]
    assert inputs == [1, len(scene.pyramid.channels)]  # one network for features, one for the flow, for all batches


def built(engine: TensorRtEngine, source: bytes = b"a network") -> BoundSession:
    with FakeGpu():
        example = [torch.empty(2, 3, 64, 96, device=SECOND), torch.empty(2, 8, 16, 24, device=SECOND)]
    return engine.run(source, [(16, 24)], example)


def test_tensorrt_is_told_the_gpu_the_stream_and_all_batch_sizes(
    install: Callable[..., FakeRuntime], tmp_path: Path
) -> None:
    runtime = install()
    run = built(TensorRtEngine("fp16", tmp_path))
    (made,) = runtime.made
    assert list(made) == [TENSORRT, CUDA]
    assert all(one["device_id"] == "1" and one["user_compute_stream"] == "4711" for one in made.values())
    shapes = [made[TENSORRT][f"trt_profile_{kind}_shapes"] for kind in ("min", "opt", "max")]
    assert shapes == [f"in0:{count}x3x64x96,in1:{count}x8x16x24" for count in (1, 8, 32)]
    assert run._most == MOST == 32
    assert all(isinstance(value, str) for one in made.values() for value in one.values())


@pytest.mark.parametrize(("precision", "fp16", "tf32"), [("fp16", "1", "0"), ("tf32", "0", "1"), ("float32", "0", "0")])
def test_a_precision_of_tensorrt_is_that_of_the_cuda_provider_behind_it(
    install: Callable[..., FakeRuntime],
    monkeypatch: pytest.MonkeyPatch,
    precision: EnginePrecision,
    fp16: str,
    tf32: str,
) -> None:
    runtime = install()
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    built(TensorRtEngine(precision))
    (made,) = runtime.made
    assert (made[TENSORRT]["trt_fp16_enable"], made[CUDA]["use_tf32"]) == (fp16, tf32)


def test_tensorrt_has_no_float32_but_where_tf32_was_switched_off(
    install: Callable[..., FakeRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    with pytest.raises(UserError, match="float32 as TF32 here: use --precision tf32, or start with NVIDIA_TF32"):
        TensorRtEngine("float32")


def test_tensorrt_keeps_each_network_in_a_folder_of_its_own(
    install: Callable[..., FakeRuntime], tmp_path: Path
) -> None:
    runtime = install()
    for source, precision in ((b"one", "fp16"), (b"another", "fp16"), (b"one", "tf32"), (b"one", "fp16")):
        built(TensorRtEngine(precision, tmp_path), source)  # type: ignore[arg-type]
    folders = [Path(made[TENSORRT]["trt_engine_cache_path"]) for made in runtime.made]
    assert (len(set(folders)), folders[0]) == (3, folders[3])
    assert all(folder.is_dir() and folder.parent == tmp_path / "tensorrt" / "NVIDIA-H201-NVL" for folder in folders)
    timings = {made[TENSORRT]["trt_timing_cache_path"] for made in runtime.made}
    assert timings == {str(tmp_path / "tensorrt" / "NVIDIA-H201-NVL")}
    switches = ("trt_engine_cache_enable", "trt_timing_cache_enable")
    assert all(made[TENSORRT][switch] == "1" for made in runtime.made for switch in switches)


@pytest.mark.parametrize("taken", [["CPUExecutionProvider"], [CUDA, "CPUExecutionProvider"]])
def test_a_session_without_tensorrt_is_refused(install: Callable[..., FakeRuntime], taken: list[str]) -> None:
    install(taken)
    with pytest.raises(UserError, match=rf"left TensorRT out .* with {' and '.join(taken)} .*pip install 'msflow"):
        built(TensorRtEngine("fp16"))


def test_networks_that_tensorrt_cannot_build_are_said_in_a_line(install: Callable[..., FakeRuntime]) -> None:
    install(TAKEN, RuntimeError("no tactic\nfor node 7"))
    with pytest.raises(UserError, match=r"cannot build the networks \(no tactic\): use another --engine"):
        built(TensorRtEngine("fp16"))
