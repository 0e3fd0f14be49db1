"""Calibration: what it says of held-out frames can be found again by scoring those frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from msflow_stream.scenes.calibration import Calibration, CalibrationBasis
from msflow_stream.scenes.feature_cache import FeatureCache
from msflow_stream.scenes.features import extract
from msflow_stream.scenes.normal import BATCH, learn_normal
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.thresholds import (
    CalibratedKind,
    NormalScore,
    calibrate_kind,
    quantiles,
    with_thresholds,
)
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.series import smooth
from msflow_stream.types import SCORE_KINDS, Frame, FrameScore, ScoreKind, Scores, UserError
from tests.support.footage import frames, small_settings
from tests.support.motion import moving

OF_STILLS: list[ScoreKind] = [kind for kind in SCORE_KINDS if kind != "motion"]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.new("gate", small_settings("score.smoothing=0.5"))


@pytest.fixture(scope="module")
def paper(scene: Scene) -> Scene:
    return Scene.new("gate", small_settings("score.kind=paper"), scene.pyramid)


def calibrated(scene: Scene, sources: Iterable[Iterable[Frame]], holdout: float = 0.0) -> Calibration:
    with FeatureCache() as cache:
        *_, footage = extract(scene, sources, cache, holdout)
        normal = learn_normal(scene, footage, scene.measure_features)
        return normal.calibration(scene.settings.score.smoothing, 0.0, fitted=not footage.held_out)


def measured(scene: Scene, given: Iterable[Frame]) -> list[FrameScore]:
    """As the scorer has them, by what is normal for the scene since it was calibrated."""
    return list(Scorer(scene, "cpu")(given))


def scores(scene: Scene, given: Iterable[Frame], kind: ScoreKind) -> list[float]:
    return [one.scores.of(kind) for one in measured(scene, given)]


def smoothed(scene: Scene, given: Sequence[Frame], kind: ScoreKind) -> list[float]:
    return smooth([frame.time for frame in given], scores(scene, given, kind), scene.settings.score.smoothing)


def wild(source: str) -> Frame:
    """A frame of noise, as no other frame of the walkway is."""
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    return Frame(source, 0, 0, 0.0, None, image)


@pytest.mark.parametrize("kind", OF_STILLS)
def test_without_held_out_frames_all_are_used_and_it_says_so(scene: Scene, kind: ScoreKind) -> None:
    found = calibrated(scene, [frames(9)], holdout=0.1)
    expected = scores(scene, frames(9), kind)
    assert found.frames == 0
    assert found.quantiles[kind]["0.0"] == pytest.approx(min(expected), rel=1e-3)
    assert found.quantiles[kind]["1.0"] == pytest.approx(max(expected), rel=1e-3)


@pytest.mark.parametrize("kind", OF_STILLS)
def test_fitted_frames_do_not_count_where_others_were_held_out(scene: Scene, kind: ScoreKind) -> None:
    calm = list(frames(6))
    found = calibrated(scene, [[wild("normal")] * 6 + calm], holdout=0.5)
    highest = max(scores(scene, calm, kind))
    assert highest < scores(scene, [wild("normal")], kind)[0]
    assert found.frames == 6
    assert found.quantiles[kind]["1.0"] == pytest.approx(highest, rel=1e-3)


@pytest.mark.parametrize("kind", OF_STILLS)
def test_quantiles_ascend_and_halve_the_scores_in_the_middle(scene: Scene, kind: ScoreKind) -> None:
    quantiles = calibrated(scene, [frames(2 * BATCH + 3)]).quantiles[kind]
    assert [float(q) for q in quantiles] == sorted(float(q) for q in quantiles)
    assert list(quantiles.values()) == sorted(quantiles.values())
    assert len(set(quantiles.values())) == len(quantiles)
    values = sorted(scores(scene, frames(2 * BATCH + 3), kind))
    assert quantiles["0.5"] == pytest.approx(values[BATCH + 1], rel=1e-3)


@pytest.mark.parametrize("kind", OF_STILLS)
def test_a_single_frame_is_its_own_summary(scene: Scene, kind: ScoreKind) -> None:
    found = calibrated(scene, [frames(2)], holdout=0.5)
    _, last = scores(scene, frames(2), kind)
    assert found.frames == 1
    assert [*found.quantiles[kind].values(), found.thresholds[kind]] == pytest.approx([last] * 10, rel=1e-3)


@pytest.mark.parametrize("kind", OF_STILLS)
def test_the_threshold_is_the_highest_smoothed_score_of_any_source(scene: Scene, kind: ScoreKind) -> None:
    sources = [[*frames(12, traffic=1, source="a")], [*frames(10, traffic=3, source="b")]]
    found = calibrated(scene, sources, holdout=0.5)
    parts = [smoothed(scene, given[len(given) // 2 :], kind) for given in sources]
    assert found.frames == 6 + 5
    assert found.thresholds[kind] == pytest.approx(max(map(max, parts)), rel=1e-3)
    assert found.thresholds[kind] < found.quantiles[kind]["1.0"]  # which is not smoothed


@pytest.mark.parametrize("kind", OF_STILLS)
def test_smoothing_begins_anew_with_every_source(scene: Scene, kind: ScoreKind) -> None:
    calm = list(frames(6, source="calm"))
    found = calibrated(scene, [calm, [wild("wild")]])
    (raw,) = scores(scene, [wild("wild")], kind)
    assert raw > max(scores(scene, calm, kind))
    assert found.thresholds[kind] == pytest.approx(raw, rel=1e-3)  # the first of a source has nothing to be smoothed by


def test_heat_begins_at_the_highest_hundredth_of_a_map_and_is_full_at_no_more_than_a_pixel(paper: Scene) -> None:
    low, high = calibrated(paper, [frames(7)]).map_range
    maps = np.stack([one.map.astype(np.float32).ravel() for one in measured(paper, frames(7))])  # 7 h*w
    hot = sorted((maps > low).mean(1).tolist())
    assert hot[3] == pytest.approx(0.01, abs=0.002)  # of the median frame
    assert 0 <= (maps > high).sum(1).max() <= 1
    assert low < high <= float(maps.max()) * (1 + 1e-3)


def test_motion_is_judged_by_the_frames_that_have_it(scene: Scene) -> None:
    given = list(moving(frames(12)))
    found = calibrated(scene, [given])
    motion = scores(scene, given, "motion")
    assert np.isnan(motion[0])
    assert found.quantiles["motion"]["1.0"] == pytest.approx(max(motion[1:]), rel=1e-3)
    assert found.thresholds["motion"] == pytest.approx(max(smoothed(scene, given, "motion")[1:]), rel=1e-3)
    assert found.thresholds["combined"] == pytest.approx(max(smoothed(scene, given, "combined")), rel=1e-3)


def test_of_stills_there_is_no_threshold_for_motion_but_one_for_the_combined_score(scene: Scene) -> None:
    found = calibrated(scene, [frames(9)])
    assert scene.motion is None
    assert set(found.thresholds) == set(OF_STILLS)


def rising(count: int, seed: int = 0, source: str = "gate") -> list[NormalScore]:
    """Scores of normal frames with a rise every few seconds, five frames per second; all kinds are unlike."""
    random = np.random.default_rng(seed)
    values = random.exponential(size=count) * (random.uniform(size=count) < 0.05)
    return [
        NormalScore(source, 5 * i, i / 5, Scores(v, 10 * v - 3, v**0.5, 2 * v, v**2))
        for i, v in enumerate(values.tolist())
    ]


def limit_of(scores: Sequence[NormalScore], kind: ScoreKind = "paper", rate: float = 1.0) -> CalibratedKind:
    return calibrate_kind(scores, kind, rate, 0.5, 0.0, 5.0, np.random.default_rng(0))


def test_the_measured_scores_are_those_of_the_held_out_frames(scene: Scene) -> None:
    sources = [[*moving(frames(12, source="a"))], [*moving(frames(10, traffic=3, source="b"))]]
    with FeatureCache() as cache:
        *_, footage = extract(scene, sources, cache, 0.5)
        normal = learn_normal(scene, footage, scene.measure_features)
    held_out = [frame for given in sources for frame in given[len(given) // 2 :]]
    assert [(one.source, one.index, one.time) for one in normal.scores] == [
        (frame.source, frame.index, frame.time) for frame in held_out
    ]
    for kind in SCORE_KINDS:
        found = [one.scores.of(kind) for one in normal.scores]
        assert found == pytest.approx(scores(scene, held_out, kind), rel=1e-3, nan_ok=True)


def test_what_is_normal_is_learnt_again_as_it_was_the_first_time(scene: Scene) -> None:
    with FeatureCache() as cache:
        *_, footage = extract(scene, [moving(frames(12))], cache, 0.5)
        learn_normal(scene, footage, scene.measure_features)
        first = scene.joint
        learn_normal(scene, footage, scene.measure_features)
    assert scene.joint == first


@pytest.mark.parametrize("kind", SCORE_KINDS)
def test_a_threshold_is_about_smoothed_scores_of_its_kind(kind: ScoreKind) -> None:
    given = rising(18_000)
    found = limit_of(given, kind)
    values = smooth([one.time for one in given], [one.scores.of(kind) for one in given], 0.5)
    assert found.record.values.tolist() == pytest.approx(values)
    assert found.estimate.threshold > np.quantile(values, 0.99)
    assert found.estimate.threshold < 2 * max(one.scores.of(kind) for one in given)


def test_a_rate_that_the_footage_does_not_support_gets_the_threshold_of_the_best_that_it_does() -> None:
    half_an_hour = rising(9_000)
    best = limit_of(half_an_hour, rate=0.2).estimate
    assert best.rate == pytest.approx(0.2)  # once in ten times half an hour
    assert limit_of(half_an_hour, rate=0.001).estimate == best
    assert limit_of(half_an_hour, rate=0.4).estimate.threshold < best.threshold


def test_footage_of_several_sources_adds_up() -> None:
    given = [*rising(3000, 1, "a"), *rising(3000, 2, "b"), *rising(3000, 3, "c")]
    assert limit_of(given).record.hours == pytest.approx(0.5)


def test_frames_without_a_finite_score_are_left_out_and_counted() -> None:
    given = rising(6000)
    given[7] = replace(given[7], scores=given[7].scores._replace(paper=float("nan")))
    given[8] = replace(given[8], scores=given[8].scores._replace(paper=float("inf")))
    assert limit_of(given).record.broken == 2
    assert np.isfinite(list(quantiles(given)["paper"].values())).all()


def test_scores_of_which_none_is_finite_are_an_error() -> None:
    with pytest.raises(UserError, match="no paper score of the normal frames is finite"):
        limit_of([replace(one, scores=one.scores._replace(paper=float("nan"))) for one in rising(20)])


def test_a_calibration_comes_back_from_json_and_an_old_one_is_read() -> None:
    given = rising(6000)
    found = {kind: limit_of(given, kind) for kind in SCORE_KINDS}
    before = Calibration(
        frames=9, quantiles=quantiles(given), thresholds=dict.fromkeys(SCORE_KINDS, 1.0), map_range=(0.0, 1.0)
    )
    basis = CalibrationBasis(
        created="now", asked=1.0, supported=None, hours=0.3, sources={"gate": 9}, smoothing=0.5, gap=5.0
    )
    after = with_thresholds(before, found, basis)
    assert Calibration.model_validate_json(after.model_dump_json()) == after
    assert Calibration.model_validate(json.loads(json.dumps(after.model_dump(mode="json")))) == after
    assert set(after.tails) == set(after.limits) == set(SCORE_KINDS)
    assert all(after.thresholds[kind] == after.limits[kind].threshold for kind in SCORE_KINDS)
    old = before.model_dump(mode="json")
    for name in ("tails", "limits", "basis"):
        del old[name]
    assert Calibration.model_validate(old) == before
