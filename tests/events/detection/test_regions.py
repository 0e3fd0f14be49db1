from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage  # type: ignore[import-untyped]

from msflow_stream.events.detection.regions import MAX_REGIONS, MIN_REGION, regions_of
from msflow_stream.types import Box


def regions(anomaly_map: npt.NDArray[np.float16], size: tuple[int, int]) -> tuple[Box, ...]:
    return regions_of(anomaly_map, 1.0, size)


@pytest.mark.parametrize("scale", [1, 3, 16])
def test_boxes_scale_to_source_pixels(scale: int) -> None:
    anomaly_map = np.zeros((8, 12), np.float16)
    anomaly_map[2:5, 7:9] = 2
    assert regions(anomaly_map, (12 * scale, 8 * scale)) == ((7 * scale, 2 * scale, 2 * scale, 3 * scale),)


@given(
    npst.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_boxes_hold_their_hot_pixels_and_stay_in_the_picture(
    hot: npt.NDArray[np.bool_], width: int, height: int
) -> None:
    found = regions(np.where(hot, 2, 0).astype(np.float16), (width, height))
    components, count = ndimage.label(hot, np.ones((3, 3)))
    assert len(found) == min(count, MAX_REGIONS)
    assert all(0 <= x < x + w <= width and 0 <= y < y + h <= height for x, y, w, h in found)
    rows, columns = hot.shape
    boxes = {
        (
            int(np.floor(c.start * width / columns)),
            int(np.floor(r.start * height / rows)),
            int(np.ceil(c.stop * width / columns)),
            int(np.ceil(r.stop * height / rows)),
        )
        for r, c in ndimage.find_objects(components)
    }
    assert {(x, y, x + w, y + h) for x, y, w, h in found} <= boxes
    if count <= MAX_REGIONS:
        assert {(x, y, x + w, y + h) for x, y, w, h in found} == boxes


def test_of_many_regions_the_largest_come_first() -> None:
    anomaly_map = np.zeros((20, 2 * MAX_REGIONS + 6), np.float16)
    for number in range(MAX_REGIONS + 3):
        anomaly_map[: number + 1, 2 * number] = 2  # ever taller
    found = regions(anomaly_map, (anomaly_map.shape[1], 20))
    assert [height for _, _, _, height in found] == [MAX_REGIONS + 3 - i for i in range(MAX_REGIONS)]


def test_specks_are_ignored() -> None:
    anomaly_map = np.zeros((100, 100), np.float16)
    smallest = round(MIN_REGION * anomaly_map.size)
    anomaly_map[10, 10 : 10 + smallest] = 2
    anomaly_map[50, 50 : 50 + smallest - 1] = 2
    assert regions(anomaly_map, (100, 100)) == ((10, 10, smallest, 1),)


def test_pixels_that_touch_at_a_corner_are_one_region() -> None:
    anomaly_map = np.zeros((4, 4), np.float16)
    anomaly_map[1, 1] = anomaly_map[2, 2] = 2
    assert regions(anomaly_map, (4, 4)) == ((1, 1, 2, 2),)


@pytest.mark.parametrize(("value", "expected"), [(1.0, 0), (1.001, 1), (np.inf, 1), (-np.inf, 0), (np.nan, 0)])
def test_only_map_values_above_the_level_make_regions(value: float, expected: int) -> None:
    anomaly_map = np.full((4, 4), -5, np.float16)
    anomaly_map[1, 1] = value
    assert len(regions(anomaly_map, (4, 4))) == expected


def test_what_is_not_watched_makes_no_region_at_any_level() -> None:
    assert regions_of(np.zeros((4, 4), np.float16), 0.0, (4, 4)) == ()
