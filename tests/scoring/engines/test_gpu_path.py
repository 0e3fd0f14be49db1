"""What runs on a GPU, as far as a CPU can tell: recordings per shape."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engines.base import Run
from msflow_stream.scoring.engines.torch_engine import SHAPES, Recorded, Replaying, TorchEngine
from msflow_stream.scoring.inference import EngineInference
from msflow_stream.scoring.scorer import Scorer
from tests.support.footage import frames, small_settings


class Recorder:
    """In the place of CUDA's graphs: replays by computing again into the same tensors, and counts."""

    def __init__(self) -> None:
        self.recorded: list[tuple[int, ...]] = []
        self.replayed = 0

    def __call__(self, run: Run, inputs: Sequence[Tensor]) -> Recorded:
        outputs = run(inputs)
        self.recorded.append(tuple(inputs[0].shape))

        def replay() -> None:
            self.replayed += 1
            for kept, new in zip(outputs, run(inputs), strict=True):
                kept.copy_(new)

        return outputs, replay


def squares(inputs: Sequence[Tensor]) -> list[Tensor]:
    return [one**2 for one in inputs]


def test_each_shape_is_recorded_once_and_replayed_with_what_is_given() -> None:
    recorder = Recorder()
    run = Replaying(squares, recorder)
    given = [torch.full((count, 3), float(value)) for value, count in enumerate((2, 1, 2, 2, 1))]
    found = [run([one])[0] for one in given]  # all kept: none may be overwritten by the next
    for mine, one in zip(found, given, strict=True):
        assert torch.equal(mine, one**2)
    assert recorder.recorded == [(2, 3), (1, 3)]
    assert recorder.replayed == 5


def test_beyond_so_many_shapes_nothing_more_is_recorded() -> None:
    recorder = Recorder()
    run = Replaying(squares, recorder)
    for count in range(1, SHAPES + 4):
        (found,) = run([torch.full((count,), 3.0)])
        assert torch.equal(found, torch.full((count,), 9.0))
    assert len(recorder.recorded) == SHAPES


def test_what_is_given_is_not_changed() -> None:
    run, given = Replaying(squares, Recorder()), torch.ones(2)
    run([given])
    run([given * 5])
    assert torch.equal(given, torch.ones(2))


def test_a_scene_scores_the_same_through_recordings() -> None:
    class OnGpu(TorchEngine):
        def compile(self, graph: torch.nn.Module, example: Sequence[Tensor], samples: object) -> Run:
            return Replaying(super().compile(graph, example, samples), Recorder())  # type: ignore[arg-type]

    scene, engine = Scene.new("gate", small_settings("score.kind=paper")), OnGpu()
    settings = scene.settings.score.model_copy(update={"batch": 3})
    found = list(Scorer(scene, "cpu", settings, EngineInference(lambda _: engine))(frames(7)))
    expected = list(Scorer(scene, "cpu", settings)(frames(7)))
    assert [s.surprise for s in found] == pytest.approx([s.surprise for s in expected], rel=1e-4)
    assert [s.score for s in found] == pytest.approx([s.score for s in expected], rel=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_scores_of_the_cpu() -> None:
    scene, engine = Scene.new("gate", small_settings("score.kind=paper")), TorchEngine("bf16")
    expected = [score.surprise for score in Scorer(scene, "cpu")(frames(8))]
    found = [score.surprise for score in Scorer(scene, "cuda", None, EngineInference(lambda _: engine))(frames(8))]
    assert found == pytest.approx(expected, rel=2e-2)
