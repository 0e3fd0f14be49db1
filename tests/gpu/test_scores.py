"""A GPU gives the scores of the CPU, by every engine and precision that it has, and with little memory."""

from __future__ import annotations

import pytest
import torch

from msflow_stream.config.engines import ENGINES, EngineName, EnginePrecision
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import UserError
from tests.support.footage import frames, small_settings

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

CLOSE = {"float32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 3e-2}  # of a score
ON_GPU: list[tuple[EngineName, EnginePrecision]] = [
    (name, precision) for name, info in ENGINES.items() if "cuda" in info.devices for precision in info.precisions
]


@pytest.fixture(scope="module")
def expected() -> list[float]:
    scene = Scene.new("gate", small_settings("score.kind=paper"))
    return [score.surprise for score in Scorer(scene, "cpu")(frames(11))]


def scores_by(name: EngineName, precision: EnginePrecision) -> list[float]:
    scene = Scene.new("gate", small_settings("score.kind=paper"))
    try:
        engine = ENGINES[name].make(precision)
        scorer = Scorer(scene, "cuda", None, EngineInference(lambda _: engine))
    except UserError as error:
        pytest.skip(str(error))
    return [score.surprise for score in scorer(frames(11))]


@pytest.mark.parametrize("precision", [precision for name, precision in ON_GPU if name == "torch"])
def test_pytorch_gives_the_scores_of_the_cpu(precision: EnginePrecision, expected: list[float]) -> None:
    assert scores_by("torch", precision) == pytest.approx(expected, rel=CLOSE[precision], abs=CLOSE[precision])


def test_the_plain_way_gives_the_scores_of_the_cpu(expected: list[float]) -> None:
    scene = Scene.new("gate", small_settings("score.kind=paper"))
    assert [score.surprise for score in Scorer(scene, "cuda")(frames(11))] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_scores_do_not_depend_on_the_batch(batch: int, expected: list[float]) -> None:
    scene, engine = Scene.new("gate", small_settings("score.kind=paper")), ENGINES["torch"].make("float32")
    settings = scene.settings.score.model_copy(update={"batch": batch})
    found = Scorer(scene, "cuda", settings, EngineInference(lambda _: engine))(frames(11))
    assert [score.surprise for score in found] == pytest.approx(expected, rel=1e-4)


def test_a_batch_that_does_not_fit_is_scored_in_smaller_ones() -> None:
    scene = Scene.new("gate", small_settings("score.kind=paper", "input.size=[512,512]"))
    engine = ENGINES["torch"].make("float32")
    inference = EngineInference(lambda _: engine)
    scorer = Scorer(scene, "cuda", scene.settings.score.model_copy(update={"batch": 64}), inference)
    whole = [score.surprise for score in scorer.score(list(frames(2)) * 32)]
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 2**28) / total))
    try:
        found = [score.surprise for score in scorer.score(list(frames(2)) * 32)]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert found == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize(("name", "precision"), [one for one in ON_GPU if one[0] != "torch"])
def test_engines_that_take_their_time_give_the_scores_of_the_cpu(
    name: EngineName, precision: EnginePrecision, expected: list[float]
) -> None:
    assert scores_by(name, precision) == pytest.approx(expected, rel=CLOSE[precision], abs=CLOSE[precision])
