"""The synthetic camera: reproducible footage whose labels are exact."""

from itertools import pairwise
from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.datasets.synthetic import (
    VISIBLE_SHARE,
    Kind,
    LabelledFrame,
    SyntheticScene,
    Violation,
    default_violations,
)
from msflow_stream.types import UserError

KINDS = get_args(Kind)


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(240, 180, seed=3)


def same(a: LabelledFrame, b: LabelledFrame) -> bool:
    facts = (a.index, a.time, a.label) == (b.index, b.time, b.label)
    return facts and np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask)


def typical(scene: SyntheticScene) -> np.ndarray:
    """The median over time: the place without its passers-by."""
    return np.median([scene.frame(i).image for i in range(0, 1500, 75)], axis=0)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(mask, np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0


def test_the_same_seeds_give_the_same_frames() -> None:
    clips = [SyntheticScene(96, 64, seed=5).render(0.4, default_violations(0.4)) for _ in range(2)]
    assert all(same(a, b) for a, b in zip(*clips, strict=True))


def test_a_frame_taken_alone_is_the_frame_met_on_the_way(scene: SyntheticScene) -> None:
    violations = default_violations(2.0)
    met = list(scene.render(2.0, violations))
    assert [f.index for f in met] == list(range(50))
    fresh = SyntheticScene(240, 180, seed=3)
    assert all(same(fresh.frame(i, violations), met[i]) for i in (49, 7, 23))


def test_a_clip_may_start_anywhere_and_keeps_the_scene_clock(scene: SyntheticScene) -> None:
    violations = [Violation("object", 40.2, 41.0)]
    frames = list(scene.render(0.4, violations, first_frame=1000))
    assert [f.index for f in frames] == list(range(1000, 1010))
    assert [f.time for f in frames] == pytest.approx([40 + k / 25 for k in range(10)])
    assert [f.label for f in frames] == [0] * 5 + [1] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_label_says_whether_the_mask_has_a_visible_share_of_the_picture(scene: SyntheticScene, kind: Kind) -> None:
    frames = list(scene.render(2.4, [Violation(kind, 0.2, 2.2)]))
    pixels = np.array([np.count_nonzero(f.mask) for f in frames])
    assert [f.label for f in frames] == [int(n > 0) for n in pixels]
    assert np.all((pixels == 0) | (pixels >= VISIBLE_SHARE * 240 * 180))
    assert {int(v) for f in frames for v in np.unique(f.mask)} == {0, 1}
    times = [f.time for f in frames if f.label]
    assert len(times) > 20
    assert min(times) >= 0.2
    assert max(times) < 2.2


@pytest.mark.parametrize("kind", ["cart", "cyclist", "skater"])
def test_what_drives_through_comes_from_outside_the_picture_and_leaves_it(scene: SyntheticScene, kind: Kind) -> None:
    labels = [f.label for f in scene.render(3.0, [Violation(kind, 0.0, 3.0)])]
    assert labels[0] == labels[-1] == 0
    assert labels[len(labels) // 2] == 1


def test_an_object_left_behind_stays_where_it_is(scene: SyntheticScene) -> None:
    frames = list(scene.render(2.0, [Violation("object", 0.0, 2.0)]))
    assert all(f.label for f in frames)
    seen = np.stack([f.mask for f in frames]).any(0)
    assert np.count_nonzero(seen) <= 1.1 * max(np.count_nonzero(f.mask) for f in frames)


@pytest.mark.parametrize("kind", KINDS)
def test_a_violation_changes_the_picture_in_its_mask_and_elsewhere_only_shades_it(
    scene: SyntheticScene, kind: Kind
) -> None:
    violation = Violation(kind, 4.0, 7.0)
    for index in range(105, 175, 5):
        frame, without = scene.frame(index, [violation]), scene.frame(index).image
        if not frame.label:
            continue
        changed = np.any(frame.image != without, axis=2)
        assert changed[frame.mask > 0].mean() > 0.9
        outside = ~grown(frame.mask, 2)  # the lens and the picture's grid blur an edge over so many pixels
        rows, columns = np.nonzero(frame.mask)
        hidden = 20  # who stands before it may cut the mask short of where its shadow begins
        reach = hidden + 2 * (rows.max() - rows.min() + 1)
        near = np.zeros_like(changed)
        near[
            max(0, rows.min() - hidden) : rows.max() + reach, max(0, columns.min() - reach) : columns.max() + reach
        ] = 1
        assert not np.any(changed & outside & ~near)
        brighter = np.any(frame.image > without, axis=2) & outside  # slivers between those who hide the rest
        assert brighter.mean() < VISIBLE_SHARE


def test_before_and_after_a_violation_the_footage_is_normal_footage(scene: SyntheticScene) -> None:
    violations = [Violation("cart", 1.0, 2.0), Violation("object", 3.0, 4.0)]
    assert all(same(scene.frame(i, violations), scene.frame(i)) for i in (0, 24, 50, 74, 100))


def test_violations_do_not_depend_on_one_another(scene: SyntheticScene) -> None:
    cart, case = Violation("cart", 0.0, 2.0), Violation("object", 0.5, 2.0)
    both, turned = scene.frame(30, [cart, case]), scene.frame(30, [case, cart])
    assert same(both, turned)
    either = scene.frame(30, [cart]).mask | scene.frame(30, [case]).mask
    assert np.array_equal(both.mask, either)


def test_normal_footage_has_no_label_and_is_never_empty(scene: SyntheticScene) -> None:
    place = typical(scene)
    for index in range(0, 1500, 50):
        frame = scene.frame(index)
        assert frame.label == 0
        assert not frame.mask.any()
        assert (np.abs(frame.image - place).max(2) > 35).mean() > 0.003  # at least about one person


def test_another_day_is_the_same_place_and_another_seed_another_place() -> None:
    here, later, elsewhere = (
        typical(SyntheticScene(160, 120, seed=seed, traffic_seed=day)) for seed, day in ((0, 0), (0, 1), (2, 0))
    )
    assert np.abs(here - later).mean() < 8
    assert np.abs(here - elsewhere).mean() > 16


def test_another_day_has_other_people_and_other_noise() -> None:
    a, b = (SyntheticScene(160, 120, traffic_seed=day).frame(0).image.astype(int) for day in (0, 1))
    assert (np.abs(a - b).max(2) > 35).mean() > 0.01
    assert (a != b).mean() > 0.5


def test_the_light_drifts_by_a_few_percent_and_never_by_more(scene: SyntheticScene) -> None:
    gains = np.stack([scene.light(t) for t in np.arange(0.0, 600.0, 7.0)])
    middle = np.median(gains, axis=0)
    assert np.abs(gains / middle - 1).max() < 0.13
    overall = gains.mean((1, 2))
    assert 0.02 < np.ptp(overall) < 0.15
    steps = np.diff([scene.light(k / 25).mean() for k in range(100)])
    assert np.abs(steps).max() < 0.001


def test_neighbouring_frames_differ_in_noise(scene: SyntheticScene) -> None:
    sky = np.s_[: 180 // 5, :, :]  # the house: nobody walks there
    a, b = (scene.frame(i).image[sky].astype(float) for i in (10, 11))
    assert 1.0 < np.std(a - b) / np.sqrt(2) < 4.0


@settings(deadline=None, max_examples=12)
@given(st.integers(32, 160), st.integers(32, 160), st.integers(0, 9), st.sampled_from(KINDS))
def test_any_size_and_shape_of_picture_can_be_made(width: int, height: int, seed: int, kind: Kind) -> None:
    frame = SyntheticScene(width, height, seed=seed).frame(25, [Violation(kind, 0.0, 2.0)])
    assert frame.image.shape == (height, width, 3)
    assert frame.image.dtype == np.uint8
    assert frame.mask.shape == (height, width)
    assert frame.mask.dtype == np.uint8
    assert 20 < frame.image.mean() < 235
    assert frame.label == int(frame.mask.any())


@given(st.floats(2.0, 3600.0))
def test_the_default_schedule_shows_every_kind_and_leaves_normal_time_between(duration: float) -> None:
    schedule = default_violations(duration)
    assert {v.kind for v in schedule} == set(KINDS)
    edges = [0.0, *(t for v in schedule for t in (v.start, v.end)), duration]
    assert all(a < b for a, b in pairwise(edges))
    assert sum(v.end - v.start for v in schedule) <= 0.61 * duration


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="unknown violation 'dog'"):
        Violation("dog", 0.0, 1.0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="end after it starts"):
        Violation("cart", 2.0, 2.0)
    with pytest.raises(UserError, match="at least 16 x 16"):
        SyntheticScene(8, 240)
    with pytest.raises(UserError, match="counted from 0"):
        SyntheticScene(32, 32).frame(-1)
