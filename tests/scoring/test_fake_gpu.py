"""Scoring on a GPU that is not there: every tensor is where it should be, and the host waits once per batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from msflow_stream.config.engines import EnginePrecision
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring import scene_functions
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines.base import Engine, Run, Samples, Size
from msflow_stream.scoring.engines.recording import RecordedRun, Recording
from msflow_stream.scoring.engines.torch_engine import TorchEngine
from msflow_stream.scoring.inference import ImageBatch
from tests.support.fake_gpu import CUDA, FakeGpu, fake_cuda
from tests.support.footage import frames, small_settings

THREE_STAGES = ("model.stages=[1,2,3]", "model.blocks=[1,1,1]", "score.kind=paper")
CASES: list[tuple[str, EnginePrecision]] = [
    ("tf_efficientnet_lite0", "float32"),
    ("mobilenetv2_100", "fp16"),
    ("wide_resnet50_2", "bf16"),
]


def once(run: Run, inputs: Sequence[Tensor]) -> Recording:
    """A recording of what there is to see without values: a replay has nothing to do."""
    own = [one.clone() for one in inputs]
    return Recording(own, run(own), lambda: None, 0)


class Noting(TorchEngine):
    """PyTorch's engine as on a GPU; it notes what it made, so that it can be moved to a GPU that is not there."""

    def __init__(self, precision: EnginePrecision, own: bool = True) -> None:
        super().__init__("float32")
        self.precision, self.own = precision, own
        self.record = once
        self.graphs: list[nn.Module] = []
        self.runs: list[RecordedRun] = []

    def records(self, device: torch.device) -> bool:
        return True

    def pyramid(self, pyramid: nn.Module, device: torch.device) -> nn.Module:
        return super().pyramid(pyramid, device) if self.own else Engine.pyramid(self, pyramid, device)  # type: ignore[arg-type]

    def flow(self, flow: nn.Module, sizes: Sequence[Size], device: torch.device) -> nn.Module:
        return super().flow(flow, sizes, device) if self.own else Engine.flow(self, flow, sizes, device)  # type: ignore[arg-type]

    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        run = super().compile(graph, example, samples)
        assert isinstance(run, RecordedRun)
        self.graphs.append(graph)
        self.runs.append(run)
        return run


class OnFakeGpu:
    """Two scenes that share a pyramid, and the inference for them, which are moved by `moved`."""

    def __init__(self, engine: Noting, *overrides: str) -> None:
        self.engine, self.inference = engine, EngineInference(lambda _: engine)
        first = Scene.new("first", small_settings(*overrides))
        self.scenes = [first, Scene.new("second", small_settings(*overrides, "fit.seed=1"), first.pyramid)]
        for scene in self.scenes:
            for with_areas in (False, True):
                self.inference.scenes.get(scene).joined(scene.settings.score, with_areas)

    def move(self) -> None:
        """Inside a FakeGpu."""
        for module in (*self.engine.graphs, *(part for one in self.scenes for part in (one.pyramid, one.flow))):
            fake_cuda(module)
        for run in self.engine.runs:
            run.release()

    def parts(self, counts: Sequence[int], areas: bool) -> list[ImageBatch]:
        """So many frames of each scene, prepared as for a GPU."""
        found = []
        for scene, count in zip(self.scenes, counts, strict=False):
            images = [self.inference.image(scene, frame.pixels) for frame in frames(count)]
            where = torch.from_numpy(np.ones((count, *scene.settings.input.size), np.bool_)) if areas else None
            found.append(ImageBatch(scene, images, scene.settings.score, where))
        return found


@pytest.fixture(autouse=True)
def _no_maps_are_kept() -> Iterator[None]:
    scene_functions._maps.cache_clear()
    yield
    scene_functions._maps.cache_clear()


def check(subject: OnFakeGpu) -> None:
    with FakeGpu() as gpu:
        subject.move()
        assert subject.scenes[0].device == CUDA
        for counts, areas in (((1,), False), ((3,), True), ((8,), False), ((5, 3), True)):
            for number in range(2):  # recorded, then replayed
                parts = subject.parts(counts, areas)
                gpu.begin()
                measures = subject.inference.measure_images(parts)
                if number == 0:  # maps for several scenes are made then, and go up
                    made = [one for one in gpu.synchronisations if not one.endswith("cpu to cuda:0")]
                    assert made == [], (counts, areas)
                    continue
                assert gpu.synchronisations == [], (counts, areas)
                assert (gpu.waits, len(gpu.downloads)) == (1, 1), (counts, areas)
                assert len(gpu.uploads) == 2 + areas  # planes and matrices of all frames, and their areas
                height, width = subject.scenes[0].settings.input.size
                assert [one.map.shape for one in measures] == [(count, height, width) for count in counts]
                assert all(one.map.dtype == torch.float16 and one.score.dtype == torch.float32 for one in measures)


@pytest.mark.parametrize(("backbone", "precision"), CASES)
def test_no_step_is_on_another_device_and_the_host_waits_once_per_batch(
    backbone: str, precision: EnginePrecision
) -> None:
    check(OnFakeGpu(Noting(precision), f"model.backbone={backbone}", *THREE_STAGES))


def test_the_networks_of_other_engines_do_so_too() -> None:
    check(OnFakeGpu(Noting("float32", own=False), "score.kind=paper"))
