from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.events.serialization import from_json, to_json
from msflow_stream.series import smooth
from msflow_stream.types import EventMessage, FrameScore
from tests.events.detection.detecting import (
    COLD,
    PAPER,
    SETTINGS,
    START,
    STEP,
    SURPRISE,
    closed,
    detector,
    heard,
    kinds,
    papers,
    scored,
    spans,
)

# Above the threshold at 3, between threshold and leave level at 1.5, below it at 0.
VALUES = st.tuples(st.sampled_from([0.0, 0.5, 1.5, 2.0, 3.0, 9.0]), st.sampled_from([0.0, 15.0, 30.0]))
SERIES = st.lists(st.tuples(VALUES, st.integers(1, 6)), max_size=12).map(
    lambda held: [values for values, count in held for _ in range(count)]
)


def test_an_event_begins_with_the_first_frame_of_a_run_that_lasts() -> None:
    messages = papers(0, 0, 3, 3, 3, 3, 0)
    assert kinds(messages) == ["open", "close"]
    assert spans(messages) == [(2, 5)]


def test_it_is_told_of_as_soon_as_it_has_lasted() -> None:
    gate = detector()
    told = [kinds(gate.update(scored(number, 3.0))) for number in range(4)]
    assert told == [[], [], ["open"], []]


@pytest.mark.parametrize("values", [(3, 3, 0, 0), (3, 0, 3, 0, 3, 0), (3, 3, 0, 3, 3), (3, 3)])
def test_a_blip_shorter_than_the_minimum_duration_is_no_event(values: tuple[float, ...]) -> None:
    assert papers(*values) == []


def test_a_score_at_the_threshold_is_not_above_it() -> None:
    assert papers(2, 2, 2, 2, 2, 2) == []


def test_an_event_lasts_until_the_score_is_below_the_leave_level() -> None:
    assert spans(papers(3, 3, 3, 1.5, 1.0, 0.9, 0)) == [(0, 4)]


def test_what_has_left_is_active_again_only_above_the_threshold() -> None:
    assert spans(papers(3, 3, 3, 0, 1.5, 1.5, 0)) == [(0, 2)]
    assert spans(papers(3, 3, 3, 0, 3, 1.5, 0)) == [(0, 5)]


def test_flicker_within_the_cool_down_is_one_event() -> None:
    quiet = [0.0] * 4  # 5 steps from active to active: as long as the cool-down
    assert spans(papers(3, 3, 3, *quiet, 3, *quiet, 3, *quiet)) == [(0, 12)]


def test_activity_after_the_cool_down_is_another_event() -> None:
    quiet = [0.0] * 5
    messages = papers(3, 3, 3, *quiet, 3, 3, 3)
    assert spans(messages) == [(0, 2), (8, 10)]
    assert kinds(messages) == ["open", "close", "open", "close"]


def test_an_event_is_closed_when_its_cool_down_has_passed_and_ends_with_its_last_activity() -> None:
    gate = detector()
    told = [kinds(gate.update(scored(number, 3.0 if number < 3 else 0.0))) for number in range(10)]
    assert told == [[], [], ["open"], [], [], [], [], [], ["close"], []]  # 2 + 5 steps is the cool-down, no longer


def test_without_a_cool_down_an_event_ends_when_the_score_leaves() -> None:
    gate = detector(settings=replace_settings(cool_down=0.0))
    messages = heard(gate, [scored(n, v) for n, v in enumerate([3, 3, 3, 1.5, 0, 3, 3, 3, 0])])
    assert spans(messages) == [(0, 3), (5, 7)]


def replace_settings(**changes: object) -> EventSettings:
    return SETTINGS.model_copy(update=changes)


def test_an_event_that_the_source_ends_in_is_closed_once_with_its_last_activity() -> None:
    gate = detector()
    for number, value in enumerate([3, 3, 3, 3, 0]):
        gate.update(scored(number, value))
    [message] = gate.close()
    assert (message.kind, message.event.end) == ("close", 3 * STEP)
    assert gate.close() == []


def test_closing_without_an_event_says_nothing() -> None:
    gate = detector()
    gate.update(scored(0, 3.0))
    assert gate.close() == []


def test_a_threshold_without_calibration_is_the_leave_level_too() -> None:
    gate = detector([Trigger("paper", 2.0)])
    assert spans(heard(gate, [scored(n, v) for n, v in enumerate([3, 3, 3, 1.99, 0])])) == [(0, 2)]


def test_a_surprise_opens_an_event_and_the_event_says_so() -> None:
    [event] = closed(heard(detector([PAPER, SURPRISE]), [scored(n, 0.0, 30.0 + n) for n in range(5)]))
    assert event.triggers == ("surprise",)
    assert event.peak_score == 34.0


def test_two_kinds_that_overlap_are_one_event_that_names_the_one_that_opened_it_first() -> None:
    scores = [scored(n, 3.0 if 3 <= n < 12 else 0.0, 30.0 if n < 6 else 0.0) for n in range(20)]
    messages = heard(detector([PAPER, SURPRISE]), scores)
    assert spans(messages) == [(0, 11)]
    assert closed(messages)[0].triggers == ("surprise", "paper")
    assert closed(messages)[0].peak_score == 30.0


def test_two_kinds_that_begin_together_are_named_in_their_order() -> None:
    scores = [scored(n, 3.0, 30.0) for n in range(4)]
    assert closed(heard(detector([PAPER, SURPRISE]), scores))[0].triggers == ("paper", "surprise")
    assert closed(heard(detector([SURPRISE, PAPER]), scores))[0].triggers == ("surprise", "paper")


def test_a_blip_of_another_kind_neither_keeps_an_event_going_nor_triggers_one() -> None:
    scores = [scored(n, 3.0 if n < 3 else 0.0, 30.0 if n == 6 else 15.0 * (n > 6)) for n in range(10)]
    messages = heard(detector([PAPER, SURPRISE]), scores)
    assert spans(messages) == [(0, 2)]
    assert closed(messages)[0].triggers == ("paper",)


def test_another_kind_that_begins_within_a_second_of_the_activity_joins_and_later_is_another_event() -> None:
    for begins, expected in ((7, [(0, 9)]), (8, [(0, 2), (8, 9)])):  # 1.0 and 1.2 s after the last activity
        scores = [scored(n, 3.0 if n < 3 else 0.0, 30.0 if n >= begins else 0.0) for n in range(10)]
        messages = heard(detector([PAPER, SURPRISE], replace_settings(cool_down=5.0, min_duration=0.2)), scores)
        assert spans(messages) == expected, begins
        assert closed(messages)[-1].triggers == (("paper", "surprise") if begins == 7 else ("surprise",))


def test_an_event_ends_for_another_kind_before_its_cool_down_and_each_is_told_in_order() -> None:
    gate = detector([PAPER, SURPRISE], replace_settings(cool_down=60.0))
    scores = [scored(n, 3.0 if n < 5 else 0.0, 30.0 if n >= 11 else 0.0) for n in range(15)]
    told = {n: kinds(messages) for n, score in enumerate(scores) if (messages := gate.update(score))}
    assert told == {2: ["open"], 13: ["close", "open"]}  # as soon as the second has lasted


def patch(x: int, y: int = 10, width: int = 6, height: int = 8) -> npt.NDArray[np.float16]:
    """A map of 60 x 40 pixels with something hot in it."""
    heat = np.zeros((40, 60), np.float16)
    heat[y : y + height, x : x + width] = 2
    return heat


NOWHERE = np.zeros((40, 60), np.float16)


def test_what_follows_at_another_place_without_a_pause_of_the_score_is_another_event() -> None:
    scores = [scored(n, 3.0, heat=patch(2 if n < 10 else 50)) for n in range(20)]
    messages = heard(detector(), scores)
    assert spans(messages) == [(0, 9), (10, 19)]
    assert kinds(messages) == ["open", "close", "open", "close"]
    assert [event.tracks[0].path[0][1][0] for event in closed(messages)] == [2, 50]


def test_it_is_told_of_when_the_first_has_been_gone_for_a_second() -> None:
    gate = detector()
    scores = [scored(n, 3.0, heat=patch(2 if n < 10 else 50)) for n in range(20)]
    told = {n: kinds(messages) for n, score in enumerate(scores) if (messages := gate.update(score))}
    assert told[14] == ["close", "open"]


def test_what_comes_back_at_another_place_after_a_pause_is_another_event_and_at_the_same_place_the_same() -> None:
    for x, expected in ((50, [(0, 4), (9, 14)]), (6, [(0, 14)])):
        scores = [scored(n, 0.0 if 5 <= n < 9 else 3.0, heat=patch(2 if n < 5 else x)) for n in range(15)]
        assert spans(heard(detector(settings=replace_settings(cool_down=5.0)), scores)) == expected, x


@given(st.lists(st.integers(-6, 6), min_size=10, max_size=60), st.integers(0, 3))
def test_a_thing_that_moves_by_no_more_than_its_length_is_one_event(steps: list[int], hidden: int) -> None:
    x, scores = 27, []
    for n, step in enumerate(steps):
        x = min(max(x + step, 0), 54)
        heat = NOWHERE if 4 < n <= 4 + hidden else patch(x)  # behind a post
        scores.append(scored(n, 3.0, heat=heat))
    assert len(closed(heard(detector(), scores))) == 1


def test_a_thing_at_another_place_that_was_there_at_the_same_time_belongs_to_the_event() -> None:
    both = patch(2) + patch(50)
    heats = [patch(2)] * 5 + [both] * 2 + [patch(50)] * 8
    assert spans(heard(detector(), [scored(n, 3.0, heat=heat) for n, heat in enumerate(heats)])) == [(0, 14)]


def test_a_flicker_elsewhere_ends_nothing() -> None:
    heats = [patch(50) if n % 5 in (3, 4) else patch(2) for n in range(23)]
    assert spans(heard(detector(), [scored(n, 3.0, heat=heat) for n, heat in enumerate(heats)])) == [(0, 22)]


def test_a_speck_elsewhere_says_nothing_of_where_an_event_is() -> None:
    speck = patch(50, 30, 2, 2)
    heats = [patch(2) + speck] * 5 + [speck] * 10
    assert spans(heard(detector(), [scored(n, 3.0, heat=heat) for n, heat in enumerate(heats)])) == [(0, 4), (5, 14)]


def test_without_regions_the_score_alone_decides() -> None:
    heats = [patch(2)] * 5 + [NOWHERE] * 10
    assert spans(heard(detector(), [scored(n, 3.0, heat=heat) for n, heat in enumerate(heats)])) == [(0, 14)]


def test_what_smoothing_drags_behind_a_peak_is_no_activity() -> None:
    values = [0.0] * 5 + [300.0] * 3 + [0.0] * 20
    messages = heard(detector(smoothing=0.5), [scored(n, value) for n, value in enumerate(values)])
    assert spans(messages) == [(5, 7)]


def test_what_is_dragged_behind_an_event_is_not_another_one() -> None:
    gate = detector(settings=replace_settings(cool_down=0.0), smoothing=2.0)
    values = [300.0] * 3 + [0.0] * 20
    assert spans(heard(gate, [scored(n, value) for n, value in enumerate(values)])) == [(0, 2)]


def test_a_kind_without_a_trigger_does_nothing() -> None:
    assert heard(detector([PAPER]), [scored(n, 0.0, 1e9) for n in range(9)]) == []
    assert heard(detector([]), [scored(n, 1e9, 1e9) for n in range(9)]) == []


def test_an_event_is_closed_at_the_first_frame_after_a_long_pause() -> None:
    gate = detector()
    before = [message for n in range(4) for message in gate.update(scored(n, 3.0))]
    after = gate.update(scored(4, 3.0, time=60.0))
    assert kinds(before) + kinds(after) == ["open", "close"]
    assert after[0].event.end == 3 * STEP
    assert kinds(gate.update(scored(5, 3.0, time=60.2))) == []
    assert [m.event.start for m in gate.update(scored(6, 3.0, time=60.4))] == [60.0]


def test_a_run_does_not_reach_over_a_pause() -> None:
    times = [0.0, 0.2, 60.0, 60.2, 120.0, 120.2]
    values = [0.0, 3.0, 3.0, 0.0, 0.0, 3.0]
    assert heard(detector(), [scored(n, v, time=t) for n, (v, t) in enumerate(zip(values, times, strict=True))]) == []


def test_a_short_pause_breaks_nothing() -> None:
    times = [0.0, 0.2, 0.4, 4.4, 4.6]
    [event] = closed(heard(detector(), [scored(n, 3.0, time=t) for n, t in enumerate(times)]))
    assert (event.start, event.end) == (0.0, 4.6)


def test_frames_that_are_sampled_rarely_still_make_events() -> None:
    values = [0, 3, 3, 3, 0, 0]
    [event] = closed(heard(detector(), [scored(n, v, time=60.0 * n) for n, v in enumerate(values)]))
    assert (event.start, event.end) == (60.0, 180.0)


def test_a_score_that_is_not_a_number_is_no_activity_and_breaks_a_run() -> None:
    assert papers(3, 3, math.nan, 3, 3) == []
    assert spans(papers(3, 3, 3, math.nan, math.nan, 3, 0)) == [(0, 5)]


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_an_infinite_score_is_above_every_threshold_and_its_event_is_still_json(smoothing: float) -> None:
    messages = heard(detector(smoothing=smoothing), [scored(n, math.inf) for n in range(4)])
    assert kinds(messages) == ["open", "close"]
    for message in messages:
        assert from_json(json.loads(json.dumps(to_json(message), allow_nan=False))) == message


def test_one_broken_frame_does_not_silence_the_later_ones() -> None:
    values = [0.0, math.nan, -math.inf, *[9.0] * 10]
    assert len(closed(heard(detector(smoothing=0.5), [scored(n, v) for n, v in enumerate(values)]))) == 1


def test_the_peak_is_the_first_of_the_highest_from_the_start_on() -> None:
    [event] = closed(papers(3, 9, 3, 9, 3, 0))
    assert (event.peak_score, event.peak_index, event.peak_time) == (9.0, 5, STEP)


def test_the_peak_is_that_of_the_kind_that_opened_the_event() -> None:
    papers, surprises = [3, 3, 9, 3, 3, 3], [0, 0, 0, 30, 30, 99]
    scores = [scored(n, *values) for n, values in enumerate(zip(papers, surprises, strict=True))]
    [event] = closed(heard(detector([PAPER, SURPRISE]), scores))
    assert event.triggers == ("paper", "surprise")
    assert (event.peak_score, event.peak_index, event.peak_time) == (9.0, 10, 2 * STEP)


def test_regions_are_those_of_the_peak() -> None:
    heats = [COLD.copy() for _ in range(4)]
    for column, heat in enumerate(heats):
        heat[0, column] = 2
    scores = [scored(n, v, heat=heats[n]) for n, v in enumerate([3.0, 9.0, 3.0, 3.0])]
    assert closed(heard(detector(), scores))[0].regions == ((10, 0, 10, 10),)  # a cell of 4 x 6 is 10 x 10 of 40 x 60


def test_boxes_follow_a_change_of_the_picture_s_size() -> None:
    heat = COLD.copy()
    heat[0, 0] = 2
    gate = detector()
    gate.update(scored(0, 3.0, heat=heat))
    gate.resize((120, 80))
    for number in range(1, 4):
        gate.update(scored(number, 3.0 + number, heat=heat))
    assert gate.close()[0].event.regions == ((0, 0, 20, 20),)


def test_tracks_are_of_the_frames_with_activity() -> None:
    heat = COLD.copy()
    heat[0, 0] = 2
    values = [0, 3, 3, 3, 0, 3, 0, 0]
    [event] = closed(heard(detector(), [scored(n, v, heat=heat) for n, v in enumerate(values)]))
    [track] = event.tracks
    assert [round(time / STEP) for time, _ in track.path] == [1, 2, 3, 5]
    assert event.start <= track.start <= track.end == event.end


def test_what_comes_back_long_after_it_went_is_another_track() -> None:
    heat = COLD.copy()
    heat[0, 0] = 2
    values = [3, 3, 3, 0, 0, 0, 3, 3]
    [event] = closed(heard(detector(), [scored(n, v, heat=heat) for n, v in enumerate(values)]))
    assert [round(track.start / STEP) for track in event.tracks] == [0, 6]


def test_a_file_s_event_has_no_times_of_arrival_and_a_camera_s_has() -> None:
    values = [0, 3, 3, 3, 3, 0]
    [file] = closed(heard(detector(), [scored(n, v) for n, v in enumerate(values)]))
    [camera] = closed(heard(detector(), [scored(n, v, live=True) for n, v in enumerate(values)]))
    assert (file.start_wall, file.end_wall) == (None, None)
    assert camera.start_wall == scored(1, live=True).wall
    assert camera.end_wall == scored(4, live=True).wall
    assert replace(camera, id=file.id, start_wall=None, end_wall=None) == file


def test_probability_and_severity_are_those_of_the_peak() -> None:
    rare = replace(PAPER, probability=lambda score: 10.0**-score)
    [event] = closed(heard(detector([rare]), [scored(n, v) for n, v in enumerate([3, 4, 3, 0])]))
    assert event.probability == 1e-4
    assert event.severity == "medium"  # 100 times rarer than at the threshold


def test_the_severity_is_the_highest_of_the_triggers() -> None:
    scores = [scored(n, 2.5, 1e6 if n > 5 else 0.0) for n in range(12)]
    messages = heard(detector([PAPER, SURPRISE]), scores)
    assert messages[0].event.severity == "low"
    assert closed(messages)[0].severity == "high"


def test_the_severity_counts_what_a_kind_reached_before_it_joined() -> None:
    surprises = [0.0, 0.0, 0.0, 0.0, 99.0, 30.0, 30.0, 30.0]
    scores = [scored(n, 3.0 if n < 3 else 0.0, value) for n, value in enumerate(surprises)]
    [event] = closed(heard(detector([PAPER, SURPRISE]), scores))
    assert event.triggers == ("paper", "surprise")
    assert event.severity == "high"  # 99 is farther above 20 than 20 is from what is normal


def test_a_higher_peak_a_new_trigger_and_a_new_track_are_news() -> None:
    heat = COLD.copy()
    heat[0, 0] = 2
    for change in ({"paper": 9.0}, {"surprise": 30.0}, {"heat": heat}):
        scores = [scored(n, 3.0) for n in range(10)]
        scores += [scored(n, **{"paper": 3.0} | change) for n in range(10, 20)]  # type: ignore[arg-type]
        assert kinds(heard(detector([PAPER, SURPRISE]), scores)) == ["open", "update", "close"], change


def test_a_peak_that_hardly_rises_is_no_news() -> None:
    values = [3.0, 3.0, 3.0, *[3.0 + 0.001 * n for n in range(50)]]
    messages = papers(*values)
    assert kinds(messages) == ["open", "close"]
    assert closed(messages)[0].peak_score == max(values)


def test_updates_come_at_most_once_a_second_by_the_source_s_time() -> None:
    times: list[float] = []
    gate = detector()
    for number in range(100):
        score = scored(number, 3.0 + number)
        times += [score.time for message in gate.update(score)]
    assert len(times) > 10
    assert min(b - a for a, b in pairwise(times)) >= 1.0 - 1e-9


def test_the_work_and_the_memory_of_a_restless_event_are_bounded() -> None:
    random = np.random.default_rng(0)
    gate = detector()
    for number in range(1000):
        gate.update(scored(number, 3.0, heat=(random.random((24, 36)) > 0.9).astype(np.float16) * 2))
    [event] = [message.event for message in gate.close()]
    assert len(event.tracks) <= 16
    assert max(len(track.path) for track in event.tracks) <= 64
    assert len(event.regions) <= 5


def test_what_stands_is_the_open_event_as_ended_by_its_last_activity() -> None:
    gate = detector()
    values = [3, 3, 3, 3, 0, 0]
    standing = []
    for number, value in enumerate(values):
        gate.update(scored(number, value))
        standing.append(gate.open_event and gate.open_event.end)
    assert standing == [None, None, 2 * STEP, 3 * STEP, 3 * STEP, 3 * STEP]
    gate.close()
    assert gate.open_event is None


def test_the_same_file_has_the_same_ids_again_and_other_settings_have_others() -> None:
    scores = [scored(n, 3.0) for n in range(4)]
    first = closed(heard(detector(), scores))[0].id
    assert first.startswith("gate-00000000-")
    assert closed(heard(detector(), scores))[0].id == first
    assert closed(heard(detector(settings=replace_settings(cool_down=2.0)), scores))[0].id != first


@given(SERIES, st.sampled_from([0.0, 0.5]), st.booleans())
def test_every_open_has_one_close_versions_rise_and_times_are_in_order(
    series: list[tuple[float, float]], smoothing: float, live: bool
) -> None:
    scores = [scored(n, *values, live=live) for n, values in enumerate(series)]
    messages = heard(detector([PAPER, SURPRISE], smoothing=smoothing), scores)
    told: dict[str, list[EventMessage]] = {}
    for message in messages:
        told.setdefault(message.event.id, []).append(message)
    for life in told.values():
        assert kinds(life) == ["open", *["update"] * (len(life) - 2), "close"]
        assert [message.event.version for message in life] == list(range(1, len(life) + 1))
        assert all(message.event.end is None for message in life[:-1])
        assert len({message.event.start for message in life}) == 1
    events = closed(messages)
    for event in events:
        assert event.end is not None
        assert event.start <= event.peak_time <= event.end
        assert all(event.start <= track.start <= track.end <= event.end for track in event.tracks)
        if live:
            assert START <= event.start_wall <= event.end_wall  # type: ignore[operator]
    assert all(a.end < b.start for a, b in pairwise(events) if a.end is not None)


def test_what_smoothing_drags_behind_an_event_makes_no_event_of_what_is_no_more_than_lively_elsewhere() -> None:
    scores = [scored(n, 300.0 if n < 5 else 1.5, heat=patch(2 if n < 5 else 50)) for n in range(30)]
    assert spans(heard(detector(smoothing=2.0), scores)) == [(0, 4)]


@given(SERIES)
def test_an_event_begins_by_scores_smoothed_beforehand(series: list[tuple[float, float]]) -> None:
    scores = [scored(n, *values) for n, values in enumerate(series)]
    times = [score.time for score in scores]
    columns = [smooth(times, [row[i] for row in series], 0.5) for i in (0, 1)]
    smoothed = [scored(n, *values) for n, values in enumerate(zip(*columns, strict=True))]
    raw = heard(detector([PAPER, SURPRISE], smoothing=0.5), scores)
    beforehand = heard(detector([PAPER, SURPRISE]), smoothed)
    assert [anonymous(message) for message in raw[:1]] == [anonymous(message) for message in beforehand[:1]]


@given(SERIES)
def test_an_event_ends_with_a_frame_that_is_unusual_by_itself(series: list[tuple[float, float]]) -> None:
    messages = heard(detector([PAPER, SURPRISE], smoothing=0.5), [scored(n, *v) for n, v in enumerate(series)])
    leave = {"paper": 1.0, "surprise": 10.0}
    for event, (_, last) in zip(closed(messages), spans(messages), strict=True):
        own = dict(zip(("paper", "surprise"), series[last], strict=True))
        assert any(own[kind] >= leave[kind] for kind in event.triggers)


@given(SERIES, st.integers(0, 30))
def test_what_is_said_depends_on_the_past_alone(series: list[tuple[float, float]], length: int) -> None:
    def said(scores: list[FrameScore]) -> list[list[EventMessage]]:
        gate = detector([PAPER, SURPRISE], smoothing=0.5)
        return [gate.update(score) for score in scores]

    scores = [scored(n, *values) for n, values in enumerate(series)]
    assert said(scores[:length]) == said(scores)[:length]


def anonymous(message: EventMessage) -> EventMessage:
    return replace(message, event=replace(message.event, id=""))
