"""The sieve: of the frames that it keeps a detector finds the very events that it finds of all, and they are few."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.events.detection.sieve import ActivitySieve
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.series import ScoreSmoother, SmoothedScore
from msflow_stream.types import Box, Event
from tests.events.detection.detecting import PAPER, SETTINGS, SURPRISE, scored
from tests.events.detection.test_detector_reference import Row, series

Seen = tuple[SmoothedScore, tuple[Box, ...]]


def found(triggers: Iterable[Trigger], chosen: EventSettings, frames: Iterable[Seen]) -> list[dict[str, Any]]:
    """The events of frames, without their ids and versions."""
    detector = EventDetector(tuple(triggers), chosen, smoothing=0.0, level=1.0, size=(60, 40))
    messages = [message for score, boxes in frames for message in detector.update(score, boxes)] + detector.close()
    return [facts(message.event) for message in messages if message.kind == "close"]


def facts(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__dataclass_fields__ if name not in ("id", "version")}


def boxes(random: Random) -> tuple[Box, ...]:
    return tuple(
        (random.randrange(50), random.randrange(30), random.randint(1, 10), random.randint(1, 10))
        for _ in range(random.randrange(3))
    )


def kept(triggers: tuple[Trigger, ...], chosen: EventSettings, frames: list[Seen]) -> list[Seen]:
    sieve = ActivitySieve(triggers, chosen)
    places = {id(score): seen for score, seen in frames}
    return [(one, places[id(one)]) for score, _ in frames for one in sieve.kept(score)]


@settings(max_examples=25)
@given(
    series(),
    st.integers(0, 99),
    st.sampled_from([(PAPER,), (PAPER, SURPRISE), (SURPRISE, PAPER), (replace(PAPER, normal=None),)]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.375, 1.0]),
    st.sampled_from([0.0, 1.0, 6.0]),
    st.sampled_from([0.0, 0.4]),
)
def test_what_is_kept_has_the_events_of_all_frames_at_this_threshold_and_at_higher_ones(
    rows: list[Row],
    seed: int,
    lowest: tuple[Trigger, ...],
    leave: float,
    min_duration: float,
    cool_down: float,
    smoothing: float,
) -> None:
    chosen = EventSettings(leave=leave, min_duration=min_duration, cool_down=cool_down)
    smoother, random = ScoreSmoother(smoothing), Random(seed)
    frames = [
        (smoother(scored(number, paper, surprise, time=time)), boxes(random))
        for number, (time, paper, surprise) in enumerate(rows)
    ]
    few = kept(lowest, chosen, frames)
    for times in (1.0, 1.3, 2.0):
        higher = tuple(replace(trigger, threshold=trigger.threshold * times) for trigger in lowest)
        everything = found(higher, chosen, frames)
        assert found(higher, chosen, few) == everything
        assert found(higher, chosen, kept(higher, chosen, few)) == everything


def test_quiet_stretches_are_not_kept() -> None:
    smoother = ScoreSmoother(0.0)
    papers = [0.0] * 100 + [3.0] * 5 + [0.0] * 100
    frames = [(smoother(scored(number, paper)), ()) for number, paper in enumerate(papers)]
    numbers = [score.score.index // 5 for score, _ in kept((PAPER,), SETTINGS, frames)]
    assert numbers == [0, 1, *range(100, 108)]
