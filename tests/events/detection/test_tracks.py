from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.events.detection.regions import MAX_POINTS, MAX_TRACKS, MISSES, Tracker, regions_of
from msflow_stream.types import Box, Track

SIZE = (120, 60)
BOXES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20), st.integers(1, 20)), max_size=5, unique=True
)


def followed(frames: Sequence[Sequence[Box]]) -> tuple[Track, ...]:
    tracker = Tracker()
    for time, boxes in enumerate(frames):
        tracker.update(float(time), boxes)
    return tracker.tracks


def boxes_of(track: Track) -> list[Box]:
    return [box for _, box in track.path]


def drawn(blobs: Callable[[int], Sequence[Box]], count: int) -> tuple[Track, ...]:
    """The tracks of blobs that are really drawn into maps."""
    frames = []
    for time in range(count):
        heat = np.zeros(SIZE[::-1], np.float16)
        for x, y, w, h in blobs(time):
            heat[y : y + h, x : x + w] = 2
        frames.append(regions_of(heat, 1.0, SIZE))
    return followed(frames)


def test_a_moving_blob_is_one_track_with_its_whole_path() -> None:
    [track] = drawn(lambda time: [(3 * time, 20, 10, 20)], 30)
    assert (track.number, track.start, track.end) == (1, 0.0, 29.0)
    assert boxes_of(track) == [(3 * time, 20, 10, 20) for time in range(30)]


def test_two_blobs_on_ways_of_their_own_are_two_tracks() -> None:
    low, high = drawn(lambda time: [(3 * time, 40, 12, 12), (80 - 2 * time, 5, 10, 10)], 20)
    assert {len(low.path), len(high.path)} == {20}
    assert {box[1] for box in boxes_of(low)} == {40}
    assert {box[1] for box in boxes_of(high)} == {5}


def test_blobs_that_cross_are_followed_before_and_after() -> None:
    tracks = drawn(lambda time: [(4 * time, 20, 12, 20), (84 - 4 * time, 20, 12, 20)], 22)
    whole = [track for track in tracks if (track.start, track.end) == (0.0, 21.0)]
    assert len(whole) == 1, "one goes on through the blob that both are"
    assert len(tracks) == 3, "the other ends where they meet, and is another after"
    assert {box for track in tracks for box in boxes_of(track)} >= {(0, 20, 12, 20), (84, 20, 12, 20)}


def test_of_a_blob_that_splits_the_larger_part_goes_on_and_the_other_is_new() -> None:
    tracks = followed([[(0, 0, 30, 10)], [(0, 0, 30, 10)], [(0, 0, 18, 10), (20, 0, 10, 10)], [(0, 0, 18, 10)]])
    assert [track.start for track in tracks] == [0.0, 2.0]
    assert boxes_of(tracks[0])[2:] == [(0, 0, 18, 10), (0, 0, 18, 10)]
    assert boxes_of(tracks[1]) == [(20, 0, 10, 10)]


def test_of_blobs_that_merge_the_one_that_overlaps_more_goes_on() -> None:
    tracks = followed([[(0, 0, 18, 10), (20, 0, 10, 10)], [(0, 0, 30, 10)], [(0, 0, 30, 10)]])
    assert [track.end for track in tracks] == [2.0, 0.0]


def test_the_best_pair_comes_first_whatever_the_order() -> None:
    near, far = (10, 0, 20, 20), (24, 0, 20, 20)
    for boxes in ([near, far], [far, near]):
        one, other = followed([[(12, 0, 20, 20)], boxes])
        assert boxes_of(one) == [(12, 0, 20, 20), near]
        assert boxes_of(other) == [far]


def test_a_blob_that_grows_suddenly_is_still_the_same() -> None:
    [track] = followed([[(50, 20, 6, 6)], [(30, 0, 60, 60)], [(50, 20, 6, 6)]])
    assert len(track.path) == 3


def test_boxes_that_only_touch_are_not_the_same() -> None:
    assert len(followed([[(0, 0, 10, 10)], [(10, 0, 10, 10)]])) == 2
    assert len(followed([[(0, 0, 10, 10)], [(8, 0, 10, 10)]])) == 2  # a fifth of it


@pytest.mark.parametrize(("missed", "tracks"), [(1, 1), (MISSES, 1), (MISSES + 1, 2)])
def test_a_track_survives_a_gap_of_two_frames(missed: int, tracks: int) -> None:
    box = (5, 5, 10, 10)
    assert len(followed([[box], *[[]] * missed, [box]])) == tracks


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 127, 128, 129, 1000, 4097])
def test_a_long_path_is_thinned_and_keeps_its_first_and_last_point(count: int) -> None:
    [track] = followed([[(time, 0, 5000, 10)] for time in range(count)])
    times = [time for time, _ in track.path]
    assert (times[0], times[-1]) == (0.0, count - 1.0)
    assert times == sorted(set(times))
    assert len(times) == count if count < MAX_POINTS else MAX_POINTS // 2 <= len(times) <= MAX_POINTS
    steps = np.diff(times[:-1])
    assert len(set(steps.tolist())) <= 1, "evenly"
    assert all(box == (int(time), 0, 5000, 10) for time, box in track.path)


def test_short_tracks_give_way_and_the_long_one_stays() -> None:
    still = (0, 0, 10, 10)
    flickers = [[still, (20 + 30 * (time % 40), 100, 5, 5)] for time in range(200)]
    tracks = followed(flickers)
    assert len(tracks) == MAX_TRACKS
    assert len(tracks[0].path) >= MAX_POINTS // 2
    assert (tracks[0].number, tracks[0].start, tracks[0].end) == (1, 0.0, 199.0)


def test_newcomers_take_the_place_of_what_is_over_however_long_it_was() -> None:
    frames: list[list[Box]] = []
    for number in range(MAX_TRACKS):
        frames += [*[[(100 * number, 0, 20, 20)]] * 5, [], [], []]
    frames += [[(0, 500, 5, 5), (100, 500, 5, 5)]] * 2
    assert [track.number for track in followed(frames)][-2:] == [MAX_TRACKS + 1, MAX_TRACKS + 2]


def test_of_equally_short_tracks_the_smallest_gives_way() -> None:
    frames: list[list[Box]] = []
    for number in range(MAX_TRACKS + 4):
        side = 5 if number in (3, 7) else 20
        frames += [[(100 * number, 0, side, side)], [], [], []]
    numbers = [track.number for track in followed(frames)]
    assert not {4, 8} & set(numbers)
    assert len(numbers) == MAX_TRACKS


def test_steady_tracks_are_counted_once_and_flickers_never() -> None:
    tracker, counts = Tracker(), []
    for time in range(6):
        tracker.update(float(time), [(0, 0, 10, 10), (50 + 20 * time, 0, 5, 5)])
        counts.append(tracker.steady)
    assert counts == [0, 0, 1, 1, 1, 1]


@given(st.lists(BOXES, max_size=30))
def test_tracks_are_made_of_the_regions_each_at_most_once(frames: list[list[Box]]) -> None:
    tracks = followed(frames)
    points = [point for track in tracks for point in track.path]
    assert len(points) == len(set(points))
    assert all(box in frames[int(time)] for time, box in points)
    assert [track.number for track in tracks] == sorted({track.number for track in tracks})
    assert len(tracks) <= MAX_TRACKS
    for track in tracks:
        times = [time for time, _ in track.path]
        assert times == sorted(set(times))
        assert (times[0], times[-1]) == (track.start, track.end)
        assert max(np.diff(times), default=0) <= MISSES + 1
    if sum(map(len, frames)) <= MAX_TRACKS:
        assert len(points) == sum(map(len, frames)), "none is lost"
