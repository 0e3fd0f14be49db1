from __future__ import annotations

import pickle
from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import auc

from msflow_stream.evaluation.metrics.regions import RegionCriteria

Box = tuple[int, int, int, int]
Frame = tuple[npt.NDArray[Any], list[tuple[Box, Hashable]]]  # a map; labelled regions, each with its track
HEIGHT, WIDTH = 12, 40


def painted(*values: tuple[Box, float]) -> npt.NDArray[np.float16]:
    """A map of zeros with boxes of other values."""
    result = np.zeros((HEIGHT, WIDTH), np.float16)
    for (x, y, width, height), value in values:
        result[y : y + height, x : x + width] = value
    return result


def measured(frames: list[Frame], thresholds: npt.ArrayLike, **settings: Any) -> RegionCriteria:
    criteria = RegionCriteria(thresholds, **settings)
    for anomaly_map, regions in frames:
        boxes = np.array([box for box, _ in regions], np.int64).reshape(-1, 4)
        criteria.add(anomaly_map, boxes, [track for _, track in regions])
    return criteria


def values_of(criteria: RegionCriteria) -> tuple[float | None, float | None]:
    return criteria.rbdc(), criteria.tbdc()


def overlap(one: Box, other: Box) -> float:
    def pixels(box: Box) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[0] + box[2]) for y in range(box[1], box[1] + box[3])}

    return len(pixels(one) & pixels(other)) / len(pixels(one) | pixels(other))


def detected(anomaly_map: npt.NDArray[Any], threshold: float, smallest: int) -> list[Box]:
    labels, _ = ndimage.label(anomaly_map >= threshold, structure=np.ones((3, 3)))
    return [
        (place[1].start, place[0].start, place[1].stop - place[1].start, place[0].stop - place[0].start)
        for number, place in enumerate(ndimage.find_objects(labels), 1)
        if (labels == number).sum() >= smallest
    ]


def area_to_one(corners: list[tuple[float, float]]) -> float:
    """Trapezoids up to x = 1, the last height held."""
    result = 0.0
    for (x, y), (u, v) in zip(corners, [*corners[1:], (np.inf, corners[-1][1])], strict=True):
        if x < 1:
            end = min(u, 1.0)
            height = v if u == np.inf else y + (v - y) * (end - x) / (u - x) if u > x else y
            result += (end - x) * ((height if u == np.inf else y) + height) / 2
    return result


def by_definition(
    frames: list[Frame], thresholds: list[float], alpha: float, beta: float, smallest: int
) -> tuple[float, float]:
    """Loops over thresholds, frames, regions and tracks, as the criteria are defined."""
    everything = [(frame, box, track) for frame, (_, regions) in enumerate(frames) for box, track in regions]
    region_curve, track_curve = [(0.0, 0.0)], [(0.0, 0.0)]
    for threshold in sorted(thresholds, reverse=True):
        boxes = [detected(anomaly_map, threshold, smallest) for anomaly_map, _ in frames]
        found = [any(overlap(box, other) >= beta for other in boxes[frame]) for frame, box, _ in everything]
        false = sum(
            all(overlap(box, other) < beta for other, _ in regions)
            for (_, regions), here in zip(frames, boxes, strict=True)
            for box in here
        )
        shares = []
        for track in {track for _, _, track in everything}:
            own = [hit for hit, (_, _, other) in zip(found, everything, strict=True) if other == track]
            shares.append(sum(own) / len(own) >= alpha)
        rate = max(region_curve[-1][0], false / len(frames))
        region_curve.append((rate, max(region_curve[-1][1], sum(found) / len(found))))
        track_curve.append((rate, max(track_curve[-1][1], sum(shares) / len(shares))))
    return area_to_one(region_curve), area_to_one(track_curve)


def test_perfect_detection_is_one_and_no_detection_is_zero() -> None:
    place = (4, 2, 6, 5)
    frames: list[Frame] = [(painted((place, 3)), [(place, "a")]), (painted(), [])]
    assert values_of(measured(frames, [1, 2, 3])) == (1, 1)
    assert values_of(measured(frames, [4])) == (0, 0)


def test_one_false_region_per_frame_at_all_thresholds_is_the_triangle() -> None:
    place = (4, 2, 6, 5)
    frames: list[Frame] = [(painted((place, 3), ((30, 2, 4, 4), 3)), [(place, "a")])] * 5
    assert values_of(measured(frames, [1, 2, 3])) == (0.5, 0.5)  # from (0, 0) straight to (1, 1)


def test_what_is_found_before_the_first_false_region_counts_fully() -> None:
    place, elsewhere = (4, 2, 6, 5), (30, 2, 4, 4)
    frames: list[Frame] = [(painted((place, 3), (elsewhere, 1)), [(place, "a")])] * 5
    assert values_of(measured(frames, [1, 3])) == (1, 1)


def test_the_rate_is_interpolated_where_the_false_regions_pass_one_per_frame() -> None:
    places = [(4, 2, 6, 5), (14, 2, 6, 5)]
    elsewhere = [((24 + 4 * i, 2, 2, 2), 1.0) for i in range(4)]
    frame: Frame = (painted((places[0], 3), (places[1], 1), *elsewhere), [(place, place) for place in places])
    # (0, 1/2) to (4, 1): at 1 the rate is 5/8
    assert values_of(measured([frame], [1, 3])) == (pytest.approx(9 / 16), pytest.approx(9 / 16))
    assert measured([frame], [1, 3]).rbdc(limit=4) == pytest.approx(3 / 4)


def test_the_rate_is_held_where_the_false_regions_never_reach_one_per_frame() -> None:
    place = (4, 2, 6, 5)
    frames: list[Frame] = [(painted((place, 3), ((30, 2, 4, 4), 3)), [(place, "a")]), (painted(), [])]
    assert measured(frames, [3]).rbdc() == pytest.approx(0.25 + 0.5)  # up to (1/2, 1), then level


@pytest.mark.parametrize(("alpha", "found"), [(0.1, 1), (0.5, 1), (0.51, 0)])
def test_a_track_counts_when_enough_of_its_regions_are_found(alpha: float, found: int) -> None:
    place = (4, 2, 6, 5)
    frames: list[Frame] = [(painted((place, 3)), [(place, "a")]), (painted(), [(place, "a")])]  # half covered
    assert values_of(measured(frames, [1], alpha=alpha)) == (0.5, found)


def test_a_track_of_thirty_needs_three_at_an_alpha_of_a_tenth() -> None:
    place = (4, 2, 6, 5)
    for hits, expected in ((2, 0), (3, 1)):
        maps = [painted((place, 3))] * hits + [painted()] * (30 - hits)
        assert measured([(anomaly_map, [(place, "a")]) for anomaly_map in maps], [1]).tbdc() == expected


@pytest.mark.parametrize(("beta", "expected"), [(0.5, 1.0), (0.51, 0.0)])
def test_a_region_counts_from_beta_on_and_its_detection_is_false_below(beta: float, expected: float) -> None:
    frames: list[Frame] = [(painted(((0, 0, 6, 3), 1)), [((2, 0, 6, 3), "a")])]  # 12 of 24 pixels are common
    criteria = measured(frames, [1], beta=beta)
    curve = criteria.region_curve()
    assert curve is not None
    assert (curve.x[-1], curve.y[-1]) == (1 - expected, expected)


def test_one_detection_can_find_two_regions() -> None:
    frames: list[Frame] = [(painted(((0, 0, 10, 4), 1)), [((0, 0, 4, 4), "a"), ((6, 0, 4, 4), "b")])]
    assert values_of(measured(frames, [1])) == (1, 1)


def test_small_components_do_not_count() -> None:
    frames: list[Frame] = [(painted(((0, 0, 2, 2), 1), ((10, 0, 3, 3), 1)), [((10, 0, 3, 3), "a")])]
    assert measured(frames, [1], smallest=4).rbdc() == pytest.approx(0.5)
    assert measured(frames, [1], smallest=5).rbdc() == 1
    assert measured(frames, [1], smallest=10).rbdc() == 0


def test_false_regions_that_grow_together_still_count_as_many() -> None:
    place, specks = (0, 0, 4, 4), [((20 + 4 * i, 2, 2, 2), 2.0) for i in range(3)]
    covered = painted(((0, 0, WIDTH, HEIGHT), 1.0), *specks)  # at 1 a single blob that finds nothing, at 2 three
    later = painted((place, 1.0), ((10, 2, 2, 2), 2.0))
    frames: list[Frame] = [(covered, []), (later, [(place, "a")])]
    curve = measured(frames, [1, 2]).region_curve()
    assert curve is not None
    assert list(zip(curve.x, curve.y, strict=True)) == [(0, 0), (2, 0), (2, 1)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([0.1, 0.4]), st.sampled_from([1, 3]))
def test_both_criteria_equal_their_definition(seed: int, length: int, beta: float, smallest: int) -> None:
    rng = np.random.default_rng(seed)
    thresholds = [0.5, 1, 2, 3.5, 4]
    frames: list[Frame] = []
    for number in range(length):
        places = [(*rng.integers(0, 8, 2), *rng.integers(1, 5, 2)) for _ in range(rng.integers(0, 3))]
        regions = [(tuple(map(int, place)), int(rng.integers(0, 2))) for place in places]
        anomaly_map = ndimage.zoom(rng.integers(0, 5, (4, 4)), 3, order=0).astype(np.float16)
        frames.append((anomaly_map, [*regions, ((2, 2, 4, 4), 0)] if number == 0 else regions))
    expected = by_definition(frames, thresholds, 0.5, beta, smallest)
    found = measured(frames, thresholds, alpha=0.5, beta=beta, smallest=smallest)
    assert values_of(found) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    half = len(frames) // 2
    merged = measured(frames[:half], thresholds, alpha=0.5, beta=beta, smallest=smallest)
    merged.merge(measured(frames[half:], thresholds, alpha=0.5, beta=beta, smallest=smallest))
    assert values_of(merged) == values_of(found)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_boxes_of_one_value_each_score_as_a_list_of_boxes_with_confidences_does(seed: int) -> None:
    """The other way the criteria are computed: boxes by falling confidence, one after the other."""
    rng = np.random.default_rng(seed)
    slots = [(x, y, 4, 3) for x in range(0, WIDTH, 8) for y in (1, 7)]  # never touch each other
    confidences = iter(rng.permutation(1000)[:100] + 1.0)
    frames: list[Frame] = []
    scored: list[tuple[float, int, Box]] = []
    for number in range(6):
        boxes = [slots[i] for i in rng.permutation(len(slots))[: rng.integers(0, 6)]]
        values = [float(next(confidences)) for _ in boxes]
        truth = [slots[i] for i in rng.permutation(len(slots))[: rng.integers(0, 4)]]
        frames.append((painted(*zip(boxes, values, strict=True)), [(box, box[0] % 3) for box in truth]))
        scored += [(value, number, box) for value, box in zip(values, boxes, strict=True)]
    total = sum(len(regions) for _, regions in frames)
    assume(total and scored)
    false, hits, corners = 0, 0, [(0.0, 0.0)]
    for _, number, box in sorted(scored, reverse=True):
        hit = any(other == box for other, _ in frames[number][1])
        false, hits = false + (not hit), hits + hit
        corners.append((false / len(frames), hits / total))
    inside = [corner for corner in corners if corner[0] <= 1]
    expected = auc(*zip(*[*inside, (1.0, inside[-1][1])], strict=True))
    assert measured(frames, [value for value, _, _ in scored]).rbdc() == pytest.approx(expected)


def test_without_labelled_regions_both_are_undefined() -> None:
    for frames in ([], [(painted(((0, 0, 3, 3), 1)), [])]):
        criteria = measured(frames, [1])
        assert values_of(criteria) == (None, None)
        assert criteria.region_curve() is None
        assert criteria.track_curve() is None


def test_no_thresholds_and_unlike_settings_are_errors() -> None:
    with pytest.raises(ValueError, match="threshold"):
        RegionCriteria([])
    for other in (RegionCriteria([1, 2]), RegionCriteria([1], beta=0.2)):
        with pytest.raises(ValueError, match="same"):
            RegionCriteria([1]).merge(other)


def test_memory_grows_with_tracks_and_not_with_frames() -> None:
    frame: Frame = (painted(((0, 0, 4, 4), 1)), [((0, 0, 4, 4), "a")])
    assert len(pickle.dumps(measured([frame] * 100, [1, 2]))) <= len(pickle.dumps(measured([frame], [1, 2]))) + 8
