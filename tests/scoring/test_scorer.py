"""The scorer: one score per frame, in order, independent of its neighbours, of one scene or of many."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import fit_scene
from msflow_stream.scoring.scorer import FrameError, Scorer, ScoreRequest, score_batch
from msflow_stream.types import Frame, FrameScore
from msflow_stream.watch.areas import area_mask
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


@pytest.fixture(scope="module")
def choices() -> list[ScoreRequest]:
    """Frames for four scenes: three share a pyramid, one of which sees larger pictures; settings and areas differ."""
    pyramid = Scene.new("shared", small_settings()).pyramid
    scenes = [
        Scene.new("a", small_settings("fit.seed=1"), pyramid),
        Scene.new("b", small_settings("fit.seed=2", "input.mean=[0.4,0.4,0.4]"), pyramid),
        Scene.new("large", small_settings("input.size=[96,128]"), pyramid),
        Scene.new("other", small_settings("model.weights_seed=1", "model.blocks=[2,1]")),
    ]
    found = []
    for number, frame in enumerate(frames(16)):
        scene = scenes[number % 4]
        changes = [{}, {}, {"top_k": 0.2, "aggregation": "mul"}, {"alignment": "centres"}][number // 4]
        area = area_mask([[(0, 0), (1, 0), (0.3, 0.9)]], [], scene.settings.input.size) if number % 3 == 0 else None
        found.append(ScoreRequest(frame, scene, scene.settings.score.model_copy(update=changes), area))
    return found


@pytest.fixture(scope="module")
def alone(choices: list[ScoreRequest]) -> list[FrameScore]:
    """Each of the choices scored in a batch of its own."""
    return [score for one in choices for score in score_batch([one])]


@given(st.lists(st.integers(0, 15), max_size=9))
@settings(deadline=None, max_examples=40)
def test_a_score_does_not_depend_on_whose_frames_are_beside_it(
    choices: list[ScoreRequest], alone: list[FrameScore], picked: list[int]
) -> None:
    scores = score_batch([choices[i] for i in picked])
    for found, i in zip(scores, picked, strict=True):
        one, expected = choices[i], alone[i]
        assert (found.scene, found.source, found.index) == (one.scene.name, one.frame.source, one.frame.index)
        values, wanted = ([s.score, s.surprise, s.surprise_mean] for s in (found, expected))
        assert values == pytest.approx(wanted, rel=1e-5)
        assert np.allclose(found.map, expected.map, atol=2e-3)  # float16 near 1


def test_a_mixed_batch_has_the_scores_that_each_scene_gives(choices: list[ScoreRequest]) -> None:
    for found, one in zip(score_batch(choices), choices, strict=True):
        maps = one.scene.maps(one.scene.pyramid(one.scene.prepare(one.frame.image)[None]), one.settings)
        area = None if one.area is None else torch.from_numpy(one.area)
        expected = one.scene.measure_maps(maps, one.settings, area)
        wanted = [expected.score.item(), expected.surprise.item(), expected.surprise_mean.item()]
        assert [found.score, found.surprise, found.surprise_mean] == pytest.approx(wanted, rel=1e-5)
        assert np.allclose(found.map, expected.map[0], atol=2e-3)
        assert found.map.shape == one.scene.settings.input.size
        assert one.area is None or not found.map[~one.area].any()


def test_features_are_extracted_once_for_all_that_share_pyramid_and_size(choices: list[ScoreRequest]) -> None:
    calls = []
    pyramids = {id(one.scene.pyramid): one.scene.pyramid for one in choices}.values()
    hooks = [p.register_forward_pre_hook(lambda _, x: calls.append(tuple(x[0].shape))) for p in pyramids]
    flows = {one.scene.name: 0 for one in choices}

    def count(name: str) -> None:
        flows[name] += 1

    hooks += [
        one.scene.flow.register_forward_pre_hook(lambda _, x, name=one.scene.name: count(name)) for one in choices[:4]
    ]
    try:
        plain = [ScoreRequest(one.frame, one.scene, one.scene.settings.score) for one in choices]
        score_batch(plain)
    finally:
        for hook in hooks:
            hook.remove()
    assert sorted(calls) == [(4, 3, 64, 96), (4, 3, 96, 128), (8, 3, 64, 96)]
    assert flows == {"a": 1, "b": 1, "large": 1, "other": 1}


def test_of_no_frames_there_are_no_scores() -> None:
    assert score_batch([]) == []


@pytest.mark.parametrize("image", [np.zeros((4, 6), np.uint8), np.zeros((4, 6, 3)), np.zeros((0, 0, 3), np.uint8)])
def test_a_picture_that_is_none_is_an_error_of_its_camera(choices: list[ScoreRequest], image: np.ndarray) -> None:
    first = choices[0]
    broken = ScoreRequest(Frame("gate 7", 35, None, 0.0, None, image), first.scene, first.settings)
    with pytest.raises(FrameError, match=r"gate 7: frame 35: an image is uint8 and H x W x 3, not") as caught:
        score_batch([first, broken, choices[1]])
    assert caught.value.source == "gate 7"
    assert len(score_batch([first, choices[1]])) == 2


@pytest.mark.parametrize("area", [np.ones((64, 64), np.bool_), np.zeros((64, 96), np.bool_)], ids=["size", "empty"])
def test_an_area_that_is_not_the_scene_s_is_an_error_of_its_camera(
    choices: list[ScoreRequest], area: np.ndarray
) -> None:
    broken = ScoreRequest(choices[0].frame, choices[0].scene, choices[0].settings, area)
    with pytest.raises(FrameError, match="normal: its area") as caught:
        score_batch([choices[1], broken])
    assert caught.value.source == "normal"


def test_scores_with_maps_are_those_without_and_features_may_come_from_earlier(scene: Scene) -> None:
    given, scorer = list(frames(5)), Scorer(scene, "cpu")
    expected = scorer.score(given)
    without_images = [replace(frame, image=np.zeros((0, 0, 3), np.uint8)) for frame in given]
    for found in (scorer.score_with_maps(given), scorer.score_with_maps(without_images, scorer.features(given))):
        assert [one.score.scores for one in found] == [one.scores for one in expected]
        for one, alone in zip(found, expected, strict=True):
            assert np.array_equal(one.add.astype(np.float16), alone.map)
            assert one.ranking_map.min() == 0
            assert one.ranking_map.shape == scene.settings.input.size


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_scores_of_the_cpu(scene: Scene) -> None:
    cpu = list(Scorer(scene, "cpu")(frames(8)))
    gpu = list(Scorer(scene, "cuda")(frames(8)))
    scene.to("cpu")
    assert [s.surprise for s in gpu] == pytest.approx([s.surprise for s in cpu], rel=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_a_mixed_batch_the_scores_of_the_cpu(choices: list[ScoreRequest], alone: list[FrameScore]) -> None:
    try:
        for one in choices:
            one.scene.to("cuda")
        found = score_batch(choices)
    finally:
        for one in choices:
            one.scene.to("cpu")
    assert [s.surprise for s in found] == pytest.approx([s.surprise for s in alone], rel=1e-2)
