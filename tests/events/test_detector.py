from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage  # type: ignore[import-untyped]

from msflow_stream.events.detector import MAX_REGIONS, MIN_REGION, EventDetector
from msflow_stream.types import Event, FrameScore

EVERY, RATE = 5, 25.0
COLD = np.zeros((4, 6), np.float16)


def scored(index: int, anomaly_map: npt.NDArray[np.float16] = COLD) -> FrameScore:
    return FrameScore("gate", "yard", index, index / RATE, None, 0.0, 0.0, 0.0, anomaly_map)


def detect(
    smoothed: Sequence[float], threshold: float, maps: Sequence[npt.NDArray[np.float16]] | None = None
) -> tuple[EventDetector, list[bool]]:
    detector = EventDetector(threshold, level=1.0, size=(60, 40))
    maps = maps or [COLD] * len(smoothed)
    alarms = [detector.update(scored(EVERY * i, maps[i]), value) for i, value in enumerate(smoothed)]
    return detector, alarms


def regions(
    anomaly_map: npt.NDArray[np.float16], size: tuple[int, int], level: float = 1.0
) -> tuple[tuple[int, int, int, int], ...]:
    detector = EventDetector(0.0, level, size)
    detector.update(scored(0, anomaly_map), 1.0)
    return detector.events[0].regions


@given(st.lists(st.integers(0, 4).map(float), max_size=40), st.sampled_from([-1.0, 0.5, 1.0, 2.0, 9.0]))
def test_events_are_the_maximal_runs_above_the_threshold(smoothed: list[float], threshold: float) -> None:
    detector, alarms = detect(smoothed, threshold)
    assert alarms == [value > threshold for value in smoothed]
    runs = [list(run) for above, run in groupby(range(len(smoothed)), lambda i: smoothed[i] > threshold) if above]
    assert [event.start for event in detector.events] == [EVERY * run[0] / RATE for run in runs]
    ends = [EVERY * (run[-1] + 1) / RATE if run[-1] + 1 < len(smoothed) else None for run in runs]
    assert [event.end for event in detector.events] == ends
    peaks = [max(run, key=lambda i: (smoothed[i], -i)) for run in runs]  # the first of the highest
    assert [event.peak_index for event in detector.events] == [EVERY * peak for peak in peaks]
    assert [event.peak_score for event in detector.events] == [smoothed[peak] for peak in peaks]


@given(st.lists(st.booleans(), max_size=20))
def test_every_event_has_its_own_id_and_tells_source_and_scene(above: list[bool]) -> None:
    events = detect([float(value) for value in above], 0.5)[0].events
    assert len({event.id for event in events}) == len(events)
    assert all(event.source == "gate" and event.scene == "yard" for event in events)


def test_a_score_at_the_threshold_is_no_alarm() -> None:
    detector, alarms = detect([0.5, 0.5], 0.5)
    assert not any(alarms)
    assert detector.events == []


def test_an_event_that_the_source_ends_in_is_closed_once() -> None:
    detector, _ = detect([0.0, 2.0, 2.0], 1.0)
    assert detector.events[0].end is None
    detector.close(0.6)
    detector.close(9.9)
    assert [event.end for event in detector.events] == [0.6]


def test_closing_without_an_event_makes_none() -> None:
    detector, _ = detect([0.0], 1.0)
    detector.close(0.2)
    assert detector.events == []


def test_an_infinite_threshold_never_alarms() -> None:
    assert detect([1e30, float("inf")], float("inf"))[1] == [False, False]


def test_regions_are_those_of_the_peak() -> None:
    maps = [COLD.copy() for _ in range(3)]
    for column in range(3):
        maps[column][0, column] = 2
    event: Event = detect([1.0, 3.0, 2.0], 0.5, maps)[0].events[0]
    assert event.peak_index == EVERY
    assert event.regions == ((10, 0, 10, 10),)  # a cell of 4 x 6 is 10 x 10 pixels of 40 x 60


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


@pytest.mark.parametrize(("value", "expected"), [(1.0, 0), (1.001, 1), (np.inf, 1), (-np.inf, 0)])
def test_only_map_values_above_the_level_make_regions(value: float, expected: int) -> None:
    anomaly_map = np.full((4, 4), -5, np.float16)
    anomaly_map[1, 1] = value
    assert len(regions(anomaly_map, (4, 4))) == expected
