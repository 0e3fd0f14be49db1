"""The scorer: one score per frame, in order, independent of its neighbours, of one scene or of many."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.config.loading import override
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import fit_scene
from msflow_stream.scoring.scorer import FrameError, Scorer, ScoreRequest, measure_motion, score_batch
from msflow_stream.types import SCORE_KINDS, Frame, FrameScore, ScoreKind, UserError
from msflow_stream.watch.areas import area_mask
from tests.support.footage import frames, small_settings
from tests.support.motion import knowing, moving


@pytest.fixture(scope="module")
def scene() -> Scene:
    return fit_scene("gate", [moving(frames(16))], small_settings())


def test_a_score_carries_its_frame_s_identity(scene: Scene) -> None:
    wall = datetime.now(UTC)
    image = next(frames(1)).image
    (score,) = Scorer(scene, "cpu")([Frame("camera", 35, 77, 1.4, wall, image)])
    assert (score.source, score.scene, score.index, score.time, score.wall) == ("camera", "gate", 35, 1.4, wall)
    assert score.map.shape == (64, 96)
    assert score.map.dtype == np.float16


def test_scores_do_not_depend_on_batch_size_or_neighbours(scene: Scene) -> None:
    whole = list(Scorer(scene, "cpu", scene.settings.score.model_copy(update={"batch": 7}))(moving(frames(10))))
    alone = list(Scorer(scene, "cpu", scene.settings.score.model_copy(update={"batch": 1}))(moving(frames(10))))
    assert [score.index for score in whole] == list(range(0, 50, 5))
    for a, b in zip(whole, alone, strict=True):
        assert tuple(a.scores) == pytest.approx(tuple(b.scores), rel=1e-5, abs=1e-5, nan_ok=True)
        assert np.allclose(a.map, b.map, atol=6e-3)  # a step of float16 in the map of the image, by a spread of 0.003


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
        settings = scene.settings.score.model_copy(update={"kind": "paper", "aggregation": kind})
        maps[kind] = next(Scorer(scene, "cpu", settings)(frames(1))).map
    assert maps["mul"].max() <= 1
    assert not np.array_equal(maps["add"], maps["mul"])


@pytest.fixture(scope="module")
def choices() -> list[ScoreRequest]:
    """Frames for four scenes: three share a pyramid, one of which sees larger pictures; settings and areas differ."""
    pyramid = Scene.new("shared", small_settings()).pyramid
    scenes: list[Scene] = [
        Scene.new("a", small_settings("fit.seed=1"), pyramid),
        Scene.new("b", small_settings("fit.seed=2", "input.mean=[0.4,0.4,0.4]"), pyramid),
        Scene.new("large", small_settings("input.size=[96,128]"), pyramid),
        Scene.new("other", small_settings("model.weights_seed=1", "model.blocks=[2,1]")),
    ]
    found = []
    for number, frame in enumerate(moving(frames(16))):
        scene = knowing(scenes[number % 4])
        changes = [{}, {"kind": "paper"}, {"top_k": 0.2, "aggregation": "mul"}, {"alignment": "corners"}][number // 4]
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
        assert tuple(found.scores) == pytest.approx(tuple(expected.scores), rel=1e-5, abs=1e-5, nan_ok=True)
        assert np.allclose(found.map, expected.map, atol=2e-3, rtol=2e-3)  # float16


def test_a_mixed_batch_has_the_scores_that_each_scene_gives(choices: list[ScoreRequest]) -> None:
    for found, one in zip(score_batch(choices), choices, strict=True):
        maps = one.scene.maps(one.scene.pyramid(one.scene.prepare(one.frame.image)[None]), one.settings)
        area = None if one.area is None else torch.from_numpy(one.area)
        expected = one.scene.measure_maps(maps, one.settings, area)
        motion = measure_motion(one)
        answer = one.scene.judge(expected.scores()[0], expected.map[0].numpy(), motion, one.area)
        assert tuple(found.scores) == pytest.approx(tuple(answer.scores), rel=1e-5, abs=1e-5, nan_ok=True)
        assert np.allclose(found.map, answer.map, atol=2e-3, rtol=2e-3)
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


@pytest.mark.parametrize("kind", ["paper", "combined"])
def test_scores_with_maps_are_those_without_and_features_may_come_from_earlier(scene: Scene, kind: ScoreKind) -> None:
    given, settings = list(moving(frames(5))), override(scene.settings, [f"score.kind={kind}"])
    scorer = Scorer(replace(scene, settings=settings), "cpu")
    expected = scorer.score(given)
    for found in (scorer.score_with_maps(given), scorer.score_with_maps(given, scorer.features(given))):
        for one, alone in zip(found, expected, strict=True):
            assert tuple(one.score.scores) == pytest.approx(tuple(alone.scores), rel=1e-6, nan_ok=True)
            assert np.allclose(one.add, alone.map, atol=2e-3, rtol=1e-2)
            assert kind == "combined" or one.ranking_map.min() == 0
            assert kind == "paper" or np.array_equal(one.ranking_map, one.add)
            assert one.ranking_map.shape == scene.settings.input.size


def test_of_features_from_earlier_the_image_may_be_gone_where_nothing_moved(scene: Scene) -> None:
    given, scorer = list(frames(5)), Scorer(scene, "cpu")
    gone = [replace(frame, pixels=np.zeros((0, 0, 3), np.uint8)) for frame in given]
    for found, expected in zip(scorer.score_with_maps(gone, scorer.features(given)), scorer.score(given), strict=True):
        assert tuple(found.score.scores) == pytest.approx(tuple(expected.scores), rel=1e-6, nan_ok=True)


def test_a_frame_has_every_kind_of_score_and_one_without_an_earlier_image_all_but_motion(scene: Scene) -> None:
    first, second = Scorer(scene, "cpu").score(list(moving(frames(2))))
    assert np.isfinite(second.scores).all()
    assert [kind for kind in SCORE_KINDS if not np.isfinite(first.scores.of(kind))] == ["motion"]
    assert first.why is not None
    assert first.why.motion is None
    assert second.why is not None
    assert second.why.motion is not None


@pytest.mark.parametrize("kind", ["motion", "combined"])
def test_a_kind_that_a_scene_lacks_is_one_line_that_says_how_to_go_on(kind: ScoreKind) -> None:
    scene = Scene.new("old", small_settings("score.kind=paper"))
    settings = scene.settings.score.model_copy(update={"kind": kind})
    with pytest.raises(UserError, match=r"^scene old .*: fit it again.*, or set score\.kind=\w+$"):
        Scorer(scene, "cpu", settings).score(list(frames(1)))
    scores = Scorer(scene, "cpu").score(list(moving(frames(2))))
    assert all(np.isnan([one.scores.motion, one.scores.combined]).all() for one in scores)
    assert all(one.why is None for one in scores)


def test_what_moves_outside_of_the_area_does_not_count() -> None:
    scene = knowing(Scene.new("gate", small_settings()))
    image = np.random.default_rng(0).integers(60, 120, (256, 384, 3), np.uint8)
    shown = [image.copy(), image.copy()]
    for number, one in enumerate(shown):
        cv2.rectangle(one, (40 + 6 * number, 60), (90 + 6 * number, 160), (250, 250, 250), -1)
    frame = list(moving(Frame("s", 5 * i, None, 0.1 * i, None, one) for i, one in enumerate(shown)))[1]
    height, width = scene.settings.input.size
    left = np.broadcast_to(np.arange(width) < width // 2, (height, width))
    whole, inside, outside = score_batch(
        [ScoreRequest(frame, scene, scene.settings.score, area) for area in (None, left, ~left)]
    )
    assert whole.scores.motion == inside.scores.motion > 1
    assert outside.scores.motion == 0
    assert not outside.map[left].any()


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
