from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from msflow_stream.evaluation.metrics.regions import tracked
from msflow_stream.events.detection.regions import boxes_of, iou

Box = tuple[int, int, int, int]
BOX = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6))


def drawn(*boxes: Box, size: tuple[int, int] = (14, 30)) -> npt.NDArray[np.bool_]:
    mask = np.zeros(size, bool)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = True
    return mask


def numbers(*masks: npt.NDArray[np.bool_]) -> list[dict[Box, int]]:
    return [dict(zip(map(tuple, boxes.tolist()), tracks, strict=True)) for boxes, tracks in tracked(masks)]


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.2, 0.6, 1.0]), st.integers(1, 4))
def test_boxes_are_those_of_scipy_components_that_are_large_enough(seed: int, density: float, smallest: int) -> None:
    mask = np.random.default_rng(seed).random((9, 12)) < density
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    expected = {
        (place[1].start, place[0].start, place[1].stop - place[1].start, place[0].stop - place[0].start)
        for number, place in enumerate(ndimage.find_objects(labels), 1)
        if (labels == number).sum() >= smallest
    }
    assert set(map(tuple, boxes_of(mask, smallest)[0].tolist())) == expected


@given(st.lists(BOX, max_size=4), st.lists(BOX, max_size=4))
def test_iou_is_the_share_of_common_pixels(first: list[Box], second: list[Box]) -> None:
    result = iou(np.array(first, np.int64).reshape(-1, 4), np.array(second, np.int64).reshape(-1, 4))
    assert result.shape == (len(first), len(second))
    for row, one in enumerate(first):
        for column, other in enumerate(second):
            a, b = drawn(one), drawn(other)
            assert result[row, column] == (a & b).sum() / (a | b).sum()


def test_a_region_that_moves_keeps_its_track_and_a_new_one_gets_its_own() -> None:
    found = numbers(drawn((0, 0, 4, 4)), drawn((2, 0, 4, 4)), drawn((4, 0, 4, 4), (20, 0, 2, 2)))
    assert found == [{(0, 0, 4, 4): 0}, {(2, 0, 4, 4): 0}, {(4, 0, 4, 4): 0, (20, 0, 2, 2): 1}]


def test_a_region_that_is_gone_for_a_mask_starts_a_track_when_it_is_back() -> None:
    assert numbers(drawn((0, 0, 4, 4)), drawn(), drawn((0, 0, 4, 4))) == [{(0, 0, 4, 4): 0}, {}, {(0, 0, 4, 4): 1}]


def test_an_overlap_at_the_threshold_or_below_does_not_continue_a_track() -> None:
    first, second = drawn((0, 0, 4, 1)), drawn((2, 0, 4, 1))  # 2 of 6 pixels are common
    assert [tracks for _, tracks in tracked([first, second], overlap=1 / 3)] == [[0], [1]]
    assert [tracks for _, tracks in tracked([first, second], overlap=0.33)] == [[0], [0]]


def test_where_two_merge_the_track_that_overlaps_more_goes_on() -> None:
    two, one = drawn((0, 0, 3, 4), (4, 0, 6, 4)), drawn((0, 0, 10, 4))
    assert numbers(two, one)[1] == {(0, 0, 10, 4): numbers(two)[0][(4, 0, 6, 4)]}


def test_where_one_splits_the_larger_part_goes_on_and_the_other_starts_a_track() -> None:
    one, two = drawn((0, 0, 10, 4)), drawn((0, 0, 3, 4), (4, 0, 6, 4))
    assert numbers(one, two)[1] == {(0, 0, 3, 4): 1, (4, 0, 6, 4): 0}


@given(st.lists(st.lists(BOX, max_size=3), min_size=2, max_size=4), st.sampled_from([0.0, 0.1, 0.5]))
def test_a_track_has_one_region_a_mask_and_continues_only_by_overlap(clip: list[list[Box]], overlap: float) -> None:
    frames = list(tracked((drawn(*boxes) for boxes in clip), overlap))
    seen: set[int] = set()
    for _, tracks in frames:
        assert len(set(tracks)) == len(tracks)
        seen |= set(tracks)
    assert seen == set(range(len(seen)))
    for (before, earlier), (after, later) in pairwise(frames):
        shares = iou(before, after)
        for number in set(earlier) & set(later):
            assert shares[earlier.index(number), later.index(number)] > overlap
        ended = [i for i, number in enumerate(earlier) if number not in later]
        started = [i for i, number in enumerate(later) if number not in earlier]
        assert (shares[np.ix_(ended, started)] <= overlap).all()  # nothing that could be linked is left


def test_no_masks_have_no_tracks() -> None:
    assert list(tracked([])) == []
    with pytest.raises(StopIteration):
        next(tracked([]))
