"""What is said of events beside labels, and of what they are judged by."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from msflow_stream.config.settings import EventSettings, ScoreSettings
from msflow_stream.evaluation.event_quality import ClipEvents, EventQuality, summarise_events
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.results.wording import trigger_wording
from msflow_stream.scenes.calibration import Calibration, CalibrationBasis
from msflow_stream.scenes.tails.fitting import ThresholdEstimate
from msflow_stream.types import FoundEvent
from pipelines.terminal.tables import print_event_quality, print_events

RIGHT, SECOND, WRONG = FoundEvent(4.0, 7.5, 5.4), FoundEvent(7.6, 8.0, 8.0), FoundEvent(3700.0, 3701.25, 3700.4)
YARD = ClipEvents("yard [1]", [RIGHT, SECOND, WRONG], [(5.0, 8.0), (20.0, 30.0)], 5400.0)
QUIET = ClipEvents("night", [], [], 1800.0)


def quality(*clips: ClipEvents) -> EventQuality:
    found = EventQuality("scene gate: paper above 1 (as given)")
    for clip in clips:
        found.add(clip)
    return found


def printed(found: EventQuality) -> list[list[str]]:
    """The cells of every line."""
    console = Console(file=io.StringIO(), width=160)
    print_event_quality(console, found)
    assert isinstance(console.file, io.StringIO)
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in console.file.getvalue().splitlines()]


def test_each_event_stands_beside_its_span_and_misses_and_false_alarms_stand_out() -> None:
    lines = printed(quality(YARD, QUIET))
    rows = [line for line in lines if len(line) == 5]
    assert rows == [
        ["yard [1]", "0:00:05.0–0:00:08.0", "0:00:04.0–0:00:07.5", "0.4 s", "found"],
        ["", "–", "0:00:07.6–0:00:08.0", "–", "further event"],
        ["", "0:00:20.0–0:00:30.0", "–", "–", "missed"],
        ["", "–", "1:01:40.0–1:01:41.2", "–", "false alarm"],
    ]
    assert any("1 clip with neither left out" in line[0] for line in lines)


def test_all_clips_together_are_summed_up_with_what_the_figures_are_of() -> None:
    lines = printed(quality(YARD, QUIET))
    rows = {line[0]: line[1:] for line in lines if len(line) == 3}
    assert rows["precision"] == ["0.333", "1 with a labelled span of 3 events"]
    assert rows["further events in a span"] == ["1", "over a labelled span that has another event"]
    assert rows["events outside all labels"] == ["1", "false alarms"]
    assert rows["recall"] == ["0.500", "1 found of 2 labelled spans"]
    assert rows["labelled time inside events"] == ["0.223", "2.9 of 13.0 s"]
    assert rows["event time outside labels"] == ["0.243", "1.2 of 5.2 s, beyond 2 s around each span"]
    assert rows["longest event"] == ["3.5 s", "longest labelled span 10.0 s"]
    assert rows["alarms per hour"] == ["1.5", "3 events in 2 hours"]
    assert rows["false alarms per hour"] == ["0.5", "1 in 2 hours"]
    assert rows["time to detection"] == ["0.40 s", "mean over 1 span found, 1 missed"]
    assert any(line[0].startswith("scene gate: paper above 1 (as given)") for line in lines)


def test_an_event_that_goes_on_into_the_next_violation_finds_one_and_the_other_is_said_to_be_another_s() -> None:
    lines = printed(quality(ClipEvents("yard", [FoundEvent(4.0, 12.0, 4.4)], [(4.0, 8.0), (10.0, 12.0)], 20.0)))
    assert [line[-1] for line in lines if len(line) == 5] == ["found", "missed: its event is another's"]


def test_what_is_missed_is_listed_clip_by_clip() -> None:
    clips = quality(YARD, QUIET).result()["clips"]
    assert clips["yard [1]"]["missed"] == [[20.0, 30.0]]
    assert clips["night"]["missed"] == []


def test_without_events_and_labels_there_are_no_figures_and_no_error() -> None:
    rows = {line[0]: line[1] for line in printed(quality(QUIET)) if len(line) == 3}
    assert (rows["precision"], rows["recall"], rows["time to detection"]) == ("–", "–", "–")
    assert rows["alarms per hour"] == "0.0"


def calibration(frames: int, rate: float | None, basis: bool) -> Calibration:
    limit = ThresholdEstimate(2.0, rate, None, None, 0)
    quantiles = {"0.5": 0.0}
    return Calibration(
        frames=frames,
        quantiles={"paper": quantiles, "surprise": quantiles},
        thresholds={"paper": 2.0, "surprise": 3.0},
        map_range=(0.0, 1.0),
        limits={"paper": limit, "surprise": limit} if basis else {},
        basis=CalibrationBasis(created="", asked=0.1, supported=None, hours=1, sources={}, smoothing=0.5, gap=5)
        if basis
        else None,
    )


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (calibration(90, None, False), "paper above 2 (highest held-out score)"),
        (calibration(0, None, False), "paper above 2 (highest fitted score)"),
        (calibration(90, 0.1, True), "paper above 2 (calibrated for false alarms: one in 10 hours)"),
        (calibration(90, 15.65, True), "paper above 2 (calibrated for false alarms: 15.7 an hour)"),
        (calibration(0, 0.1, True), "paper above 2 (calibrated on fitted frames for false alarms: one in 10 hours)"),
        (calibration(90, None, True), "paper above 2 (highest normal score, at no known rate of false alarms)"),
    ],
)
def test_it_is_said_what_a_threshold_was_set_for(known: Calibration, said: str) -> None:
    score = ScoreSettings(kind="paper")
    words = trigger_wording(triggers_of(EventSettings(), score, known), score, known)
    assert words.startswith(f"{said}, surprise above 3 (")


def test_a_threshold_that_was_given_is_said_to_be_so() -> None:
    score = ScoreSettings(kind="paper", threshold=1.5)
    known = calibration(90, 0.1, True)
    assert trigger_wording(triggers_of(EventSettings(), score, known), score, known).startswith(
        "paper above 1.5 (as given)"
    )
    assert trigger_wording(triggers_of(EventSettings(), score, None), score, None) == "paper above 1.5 (as given)"
    unset = ScoreSettings(kind="paper")
    assert "no threshold, so no events" in trigger_wording(triggers_of(EventSettings(), unset, None), unset, None)


def test_seeds_are_averaged_and_scenes_summed_up() -> None:
    wrong = ClipEvents("yard", [WRONG], [(20.0, 30.0)], 5400.0)
    results: dict[str, list[dict[str, Any]]] = {
        "01": [{"events": quality(YARD).result()}, {"events": quality(wrong).result()}],
        "02": [{"events": quality(QUIET).result()}],
        "still": [{"events": None}],
        "older": [{}, {"events": {"pooled": {"precision": 1.0, "right": 3}}}],
    }
    events = summarise_events(results)
    assert list(events) == ["01", "02"]
    assert (events["01"]["events"], events["01"]["spans"], events["01"]["precision"]) == (2, 1.5, pytest.approx(1 / 6))
    assert events["01"]["time_to_detection"] is None  # one of the seeds has found nothing
    assert (events["02"]["precision"], events["02"]["alarms_per_hour"]) == (None, 0)
    console = Console(file=io.StringIO(), width=220)
    print_events(console, {"events": events, "mean": {"event_precision": 1 / 3, "event_recall": 0.25}})
    assert isinstance(console.file, io.StringIO)
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in console.file.getvalue().splitlines()]
    assert ["01", "0.167 (0.5/2)", "0.250 (0.5/1.5)", "1.5", "1.3", "0.7", "–"] in rows
    assert ["sum, mean", "0.333 (0.5/2)", "0.250 (0.5/1.5)", "2", "–", "–", "–"] in rows
    assert ["01", "0.112", "0.621", "0.5", "2.4", "10.0"] in rows
    assert ["sum, mean", "–", "–", "0.5", "2.4", "10.0"] in rows
