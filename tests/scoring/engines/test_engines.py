"""Engines: the same scores as the plain way, whoever shares the batch; one error line where one is not there."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import torch

from msflow_stream.config.engines import ENGINES, EngineName, EnginePrecision
from msflow_stream.config.settings import EngineSettings
from msflow_stream.model.fused import FusedPyramid
from msflow_stream.model.pyramid import Padding, Pyramid, load_weights
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import fit_scene
from msflow_stream.scoring.engine_choice import EngineChooser
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines import direct_convolutions as direct
from msflow_stream.scoring.engines.base import Engine, FeatureGraph, Run, Samples
from msflow_stream.scoring.engines.direct_convolutions import direct_convolutions, preferring_direct
from msflow_stream.scoring.engines.onnx_engine import graph_to_onnx, spelled_atan, spelled_tanh
from msflow_stream.scoring.engines.openvino_engine import OpenVinoEngine
from msflow_stream.scoring.engines.torch_engine import TorchEngine, threads_beside
from msflow_stream.scoring.inference import PlainInference
from msflow_stream.scoring.scorer import Scorer, ScoreRequest, score_batch
from msflow_stream.types import APPEARANCE_KINDS, FrameScore, UserError
from msflow_stream.watch.areas import area_mask
from tests.support.footage import frames, small_settings
from tests.support.motion import knowing, moving

FLOAT32: list[EngineName] = [name for name, info in ENGINES.items() if "float32" in info.tried]
LOWER: list[tuple[EngineName, EnginePrecision]] = [("torch", "bf16"), ("openvino", "bf16"), ("openvino", "int8")]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return fit_scene("gate", [frames(16)], small_settings())


@pytest.fixture(scope="module")
def asked(scene: Scene) -> list[ScoreRequest]:
    """Frames of two scenes that share a pyramid and of one that does not, some with areas and settings of their own."""
    scenes = [
        scene,
        Scene.new("shared", small_settings("fit.seed=2"), scene.pyramid),
        Scene.new("other", small_settings("model.weights_seed=1", "input.size=[96,80]", "model.fusion=false")),
    ]
    found = []
    for number, frame in enumerate(moving(frames(12))):
        one = knowing(scenes[number % 3])
        changes = [{"kind": "paper"}, {"aggregation": "mul", "top_k": 0.2}, {"alignment": "corners"}][number // 4]
        area = area_mask([[(0, 0), (1, 0), (0.3, 0.9)]], [], one.settings.input.size) if number % 4 == 0 else None
        found.append(ScoreRequest(frame, one, one.settings.score.model_copy(update=changes), area))
    return found


@pytest.fixture(scope="module")
def inferences() -> dict[str, EngineInference]:
    made = {name: ENGINES[name].make("float32") for name in FLOAT32}
    return {name: scoring(engine) for name, engine in made.items()}


def scoring(engine: Engine) -> EngineInference:
    return EngineInference(lambda _: engine)


def values(scores: list[FrameScore]) -> list[float]:
    return [value for one in scores for value in one.scores]


@pytest.mark.parametrize("name", FLOAT32)
def test_scores_and_maps_are_those_of_the_plain_way(
    asked: list[ScoreRequest], inferences: dict[str, EngineInference], name: str
) -> None:
    expected, found = score_batch(asked, PlainInference()), score_batch(asked, inferences[name])
    assert values(found) == pytest.approx(values(expected), rel=1e-4, abs=2e-4, nan_ok=True)
    for mine, plain, one in zip(found, expected, asked, strict=True):
        assert mine.map.dtype == plain.map.dtype
        assert np.allclose(mine.map, plain.map, atol=2e-3)  # float16 near 1
        assert one.area is None or not mine.map[~one.area].any()


@pytest.mark.parametrize("name", ["torch", "openvino", "onnxruntime"])
@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_the_default_backbone_has_its_features_by_every_engine(name: EngineName, padding: Padding) -> None:
    pyramid = Pyramid("tf_efficientnet_lite0", load_weights("tf_efficientnet_lite0", "pretrained"), padding=padding)
    images = torch.stack([torch.from_numpy(frame.image).permute(2, 0, 1) / 127.5 - 1 for frame in frames(3)])
    run = ENGINES[name].make("float32").compile(FeatureGraph(FusedPyramid(pyramid)), [images[:2]], lambda: [])
    with torch.inference_mode():
        for found, expected in zip(run([images]), pyramid(images), strict=True):
            assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", FLOAT32)
def test_scores_do_not_depend_on_the_batch(
    asked: list[ScoreRequest], inferences: dict[str, EngineInference], name: str
) -> None:
    alone = [score_batch([one], inferences[name])[0] for one in asked]
    for size in (2, 5, len(asked)):
        together = score_batch(asked[:size], inferences[name])
        assert values(together) == pytest.approx(values(alone[:size]), rel=1e-5, abs=2e-5, nan_ok=True)


@pytest.fixture
def threads() -> Iterator[int]:
    """Three threads for sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


@pytest.mark.parametrize("streams", [2, pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_scores_do_not_depend_on_how_many_frames_go_at_a_time(
    asked: list[ScoreRequest], threads: int, name: EngineName, streams: int
) -> None:
    pytest.importorskip(name)
    one_by_one = ENGINES[name].make("float32", streams=1)
    assert one_by_one.streams == 1
    expected = score_batch(asked, scoring(one_by_one))
    engine = ENGINES[name].make("float32", streams=streams)
    inference = scoring(engine)
    assert engine.streams == min(streams, threads)
    for size in (1, 2, 5, len(asked)):
        found = score_batch(asked[:size], inference)
        assert values(found) == pytest.approx(values(expected[:size]), rel=1e-5, abs=2e-5, nan_ok=True)
    assert torch.get_num_threads() == threads


def test_threads_beside_one_another_share_the_threads_for_sums(threads: int) -> None:
    for count, each in ((1, 3), (2, 1), (3, 1), (4, 1)):
        with threads_beside(count) as pool, ThreadPoolExecutor(1) as another:
            assert [pool.submit(torch.get_num_threads).result() for _ in range(count)] == [each] * count
            assert another.submit(torch.get_num_threads).result() == torch.get_num_threads() == threads


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_one_function_may_be_called_from_many_threads(scene: Scene, threads: int, name: EngineName) -> None:
    pytest.importorskip(name)
    both = [scoring(ENGINES[name].make("float32", streams=streams)) for streams in (1, 4)]
    batches = [list(moving(frames(count))) for count in (5, 3, 4)] * 4
    for one in both:
        scorer = Scorer(scene, "cpu", None, one)
        expected = [values(scorer.score(batch)) for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda batch: values(scorer.score(batch)), batches))  # noqa: B023
            for mine, plain in zip(found, expected, strict=True):
                assert np.array_equal(mine, plain, equal_nan=True)


def openvino_has_bf16() -> bool:
    openvino = pytest.importorskip("openvino")
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize(("name", "precision"), LOWER)
def test_a_lower_precision_keeps_scores_near(scene: Scene, name: EngineName, precision: EnginePrecision) -> None:
    normal = [torch.stack([scene.prepare(frame.image) for frame in frames(4)])] * 4
    lower = EngineInference(lambda _: ENGINES[name].make(precision), lambda _: normal)
    if (name, precision) == ("openvino", "bf16") and not openvino_has_bf16():
        with pytest.raises(UserError, match="OpenVINO does not score in bf16 here"):
            list(Scorer(scene, "cpu", None, lower)(frames(8)))
        return
    found, expected = (list(Scorer(scene, "cpu", None, one)(frames(8))) for one in (lower, PlainInference()))
    for kind in APPEARANCE_KINDS:
        mine, plain = ([one.scores.of(kind) for one in scores] for scores in (found, expected))
        assert mine == pytest.approx(plain, rel=0.1)
        assert mine != plain


def test_scenes_that_share_a_pyramid_share_its_engine(scene: Scene) -> None:
    compiled: list[str] = []

    class Counting(TorchEngine):
        def compile(self, graph: torch.nn.Module, example: Sequence[torch.Tensor], samples: Samples) -> Run:
            compiled.append(type(graph).__name__)
            return super().compile(graph, example, samples)

    engine = scoring(Counting())
    for one in (scene, Scene.new("shared", small_settings("fit.seed=2"), scene.pyramid), scene):
        engine.prepare(one)
    assert compiled == ["FeatureGraph", "LikelihoodGraph", "LikelihoodGraph"]


@pytest.mark.parametrize(("name", "streams"), [("torch", 1), ("openvino", 1), ("openvino", 2)])
def test_what_was_made_for_a_scene_goes_with_it(name: EngineName, streams: int) -> None:
    made, functions = Scene.new("brief", small_settings("score.kind=paper")), WeakSet[Any]()
    base = OpenVinoEngine if name == "openvino" else TorchEngine

    class Watched(base):  # type: ignore[misc, valid-type]
        def compile(self, graph: torch.nn.Module, example: Sequence[torch.Tensor], samples: Samples) -> Run:
            run: Run = super().compile(graph, example, samples)
            functions.add(run)
            return run

    engine = scoring(Watched(**({"streams": streams} if name == "openvino" else {})))
    list(Scorer(made, "cpu", None, engine)(frames(3)))
    assert len(functions) == 2
    assert len(engine._features) == len(engine.scenes) == 1
    del made
    gc.collect()
    assert not engine._features
    assert len(engine.scenes) == len(functions) == 0


def test_a_batch_that_cannot_be_scored_leaves_the_function_as_it_was() -> None:
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    graph = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3))
    images = torch.randn(5, 3, 8, 9)
    run = OpenVinoEngine(streams=2).compile(_Tuple(graph), [images], lambda: [])
    for _ in range(4):
        with pytest.raises(RuntimeError):
            run([torch.cat([images, images], 1)])
        with torch.inference_mode():
            assert torch.allclose(run([images])[0], graph(images), atol=1e-5)


class _Tuple(torch.nn.Module):
    def __init__(self, graph: torch.nn.Module) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.graph(images),)


def test_direct_convolutions_give_the_same_features() -> None:
    openvino = pytest.importorskip("openvino")
    pyramid = Pyramid("tf_efficientnet_lite0", load_weights("tf_efficientnet_lite0", "pretrained"))
    images = torch.stack([torch.from_numpy(frame.image).permute(2, 0, 1) / 127.5 - 1 for frame in frames(2)])
    core = openvino.Core()
    plain = core.read_model(graph_to_onnx(FeatureGraph(FusedPyramid(pyramid)), [images]))
    found, expected = (
        core.compile_model(one, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([images.numpy()])
        for one in (preferring_direct(core, plain), plain)
    )
    for number in range(3):
        assert np.abs(found[number] - expected[number]).max() < 1e-5 * np.abs(expected[number]).max()


def test_direct_convolutions_are_preferred_beside_depthwise_ones_of_full_blocks_only() -> None:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()

    def preferred(channels: int, groups: int) -> bool:
        graph = _Tuple(torch.nn.Conv2d(channels, channels, 3, groups=groups))
        model = core.read_model(graph_to_onnx(graph, [torch.zeros(2, channels, 8, 9)]))
        return direct_convolutions(core, model) is not model

    fit = torch.backends.cpu.get_cpu_capability() == "AVX2"
    assert [preferred(16, 16), preferred(16, 1), preferred(12, 12)] == [fit, False, False]


def test_an_openvino_that_does_not_know_the_preferences_convolves_as_it_chooses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setitem(direct.PREFERRED, "GroupConvolution", "cpu:jit_of_another_age")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    images, graph = torch.randn(2, 16, 8, 9), torch.nn.Conv2d(16, 16, 3, groups=16)
    run = OpenVinoEngine().compile(_Tuple(graph), [images], lambda: [])
    with torch.inference_mode():
        assert torch.allclose(run([images])[0], graph(images), atol=1e-5)


@pytest.mark.parametrize(("spelled", "function"), [(spelled_tanh, np.tanh), (spelled_atan, np.arctan)])
def test_functions_that_are_spelled_out_are_those_of_numpy(
    spelled: Callable[[torch.Tensor], torch.Tensor], function: Callable[..., Any]
) -> None:
    values = np.concatenate([np.linspace(-12, 12, 10001), np.geomspace(1e-6, 1e30), -np.geomspace(1e-6, 1e30), [0.0]])
    found = spelled(torch.from_numpy(values).float()).numpy()
    assert np.abs(found - function(values)).max() < 3e-7


def test_networks_can_be_exported_in_several_threads_at_once() -> None:
    pytest.importorskip("onnx")
    images = torch.randn(2, 3, 8, 9)
    graphs = [_Tuple(torch.nn.Conv2d(3, channels, 3)) for channels in (2, 3, 4)] * 3
    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(lambda graph: graph_to_onnx(graph, [images]), graphs))


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for package in ("openvino", "nncf", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    return


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("name", "extra"), [("openvino", "openvino"), ("onnxruntime", "onnx"), ("tensorrt", "tensorrt")]
)
def test_a_package_that_is_not_installed_is_one_line(name: EngineName, extra: str) -> None:
    with pytest.raises(UserError, match=rf"not installed: pip install 'msflow-stream\[{extra}\]'"):
        ENGINES[name].make("float32")


def test_int8_needs_its_quantiser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(UserError, match=r"nncf is not installed: pip install 'msflow-stream\[openvino\]'"):
        ENGINES["openvino"].make("int8")


def test_tensorrt_is_not_a_provider_of_onnxruntime_on_a_cpu() -> None:
    with pytest.raises(UserError, match="onnxruntime-gpu with TensorRT is not installed"):
        ENGINES["tensorrt"].make("fp16")


@pytest.mark.parametrize(("name", "precision"), [("torch", "int8"), ("onnxruntime", "bf16"), ("compile", "int8")])
def test_a_precision_that_an_engine_lacks_names_those_it_has(name: EngineName, precision: EnginePrecision) -> None:
    with pytest.raises(UserError, match=f"the engine {name} has no {precision}: use --precision float32"):
        ENGINES[name].make(precision)


def test_tensorrt_on_a_cpu_is_refused(scene: Scene) -> None:
    with pytest.raises(UserError, match="tensorrt needs an NVIDIA GPU"):
        EngineChooser(EngineSettings(name="tensorrt"))(scene)


ENGINES_COME_AND_GO = """
import gc, os, signal
import torch
from msflow_stream.scoring.engines.openvino_engine import OpenVinoEngine

class Graph(torch.nn.Module):
    def forward(self, images):
        return (images * 2,)

signals = []
signal.signal(signal.SIGINT, lambda number, frame: signals.append(number))
for _ in range(2):
    engines = [OpenVinoEngine(), OpenVinoEngine()]
    runs = [engine.compile(Graph(), [torch.ones(2, 3, 4, 4)], list) for engine in engines]
    while engines:
        del engines[0], runs[0]
        gc.collect()
os.kill(os.getpid(), signal.SIGINT)
assert signals == [signal.SIGINT]
"""


def test_ctrl_c_is_no_crash_after_engines_were_let_go() -> None:
    """As after a trial. OpenVINO gives threads a stack for signals, and takes it away with the last that uses it."""
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", ENGINES_COME_AND_GO], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
