"""The scorer: one score per frame, in order, independent of its neighbours."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from msflow_stream.scene import Scene
from msflow_stream.scorer import Scorer
from msflow_stream.training import fit_scene
from msflow_stream.types import Frame
from tests.support.footage import frames, small_settings


@pytest.fixture(scope="module")
def scene() -> Scene:
    return fit_scene("gate", [frames(16)], small_settings())


def test_a_score_carries_its_frame_s_identity(scene: Scene) -> None:
    wall = datetime.now(UTC)
    image = next(frames(1)).image
    (score,) = Scorer(scene, "cpu")([Frame("camera", 35, 77, 1.4, wall, image)])
    assert (score.source, score.scene, score.index, score.time, score.wall) == ("camera", "gate", 35, 1.4, wall)
    assert score.map.shape == (64, 96)
    assert score.map.dtype == np.float16


def test_scores_do_not_depend_on_batch_size_or_neighbours(scene: Scene) -> None:
    whole = list(Scorer(scene, "cpu", scene.settings.score.model_copy(update={"batch": 7}))(frames(10)))
    alone = list(Scorer(scene, "cpu", scene.settings.score.model_copy(update={"batch": 1}))(frames(10)))
    assert [score.index for score in whole] == list(range(0, 50, 5))
    for a, b in zip(whole, alone, strict=True):
        assert [a.score, a.surprise, a.surprise_mean] == pytest.approx([b.score, b.surprise, b.surprise_mean], rel=1e-5)
        assert np.allclose(a.map, b.map, atol=2e-3)  # float16 near 1


def test_frames_of_several_sizes_share_a_batch(scene: Scene) -> None:
    images = [np.full(shape, 90, np.uint8) for shape in ((64, 96, 3), (33, 47, 3), (240, 320, 3))]
    scores = Scorer(scene, "cpu").score([Frame("s", i, i, i, None, image) for i, image in enumerate(images)])
    assert scores[0].surprise == pytest.approx(scores[1].surprise, rel=1e-5)
    assert scores[0].surprise == pytest.approx(scores[2].surprise, rel=1e-5)


def test_the_scorer_does_not_run_ahead_of_its_consumer(scene: Scene) -> None:
    taken = []

    def watched() -> object:
        for frame in frames(40):
            taken.append(frame.index)
            yield frame

    scores = Scorer(scene, "cpu")(watched())  # type: ignore[arg-type]
    next(scores)
    assert len(taken) == scene.settings.score.batch


def test_aggregation_chooses_the_map(scene: Scene) -> None:
    maps = {}
    for kind in ("add", "mul"):
        settings = scene.settings.score.model_copy(update={"aggregation": kind})
        maps[kind] = next(Scorer(scene, "cpu", settings)(frames(1))).map
    assert maps["mul"].max() <= 1
    assert not np.array_equal(maps["add"], maps["mul"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_scores_of_the_cpu(scene: Scene) -> None:
    cpu = list(Scorer(scene, "cpu")(frames(8)))
    gpu = list(Scorer(scene, "cuda")(frames(8)))
    scene.to("cpu")
    assert [s.surprise for s in gpu] == pytest.approx([s.surprise for s in cpu], rel=1e-2)
