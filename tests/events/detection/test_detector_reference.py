"""The detector beside a slow one that is written the other way round: it knows the whole series, and searches it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.triggers import Trigger
from tests.events.detection.detecting import PAPER, SURPRISE, detector, scored

Row = tuple[float, float, float]  # time, paper, surprise
Span = tuple[float, float, float, tuple[str, ...], float]  # start, end, when it was told of, triggers, peak

STEPS = st.sampled_from([0.125, 0.25, 0.5, 4.0, 5.5, 30.0])
VALUES = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, math.nan, math.inf, -math.inf])


@st.composite
def series(draw: st.DrawFn) -> list[Row]:
    usual = draw(STEPS)
    rows, time = [], 0.0
    for _ in range(draw(st.integers(0, 30))):
        held = draw(st.integers(1, 4))
        paper, surprise = draw(VALUES), 10 * draw(VALUES)
        for _ in range(held):
            rows.append((time, paper, surprise))
            time += draw(st.sampled_from([usual, usual, usual, usual, draw(STEPS)]))
    return rows


@dataclass
class Slow:
    """All spans of a series, by searching it."""

    rows: list[Row]
    triggers: tuple[Trigger, ...]
    settings: EventSettings

    def spans(self) -> Iterator[Span]:
        shortest = math.inf
        begin = 0
        for i in range(1, len(self.rows)):
            step = self.rows[i][0] - self.rows[i - 1][0]
            shortest = min(shortest, step)
            if step > max(5.0, self.settings.cool_down, 4 * shortest):
                yield from self._within(begin, i)
                begin = i
        yield from self._within(begin, len(self.rows))

    def _within(self, begin: int, stop: int) -> Iterator[Span]:
        """Those of a part without a pause."""
        at = begin
        while at < stop:
            openers = [kind for kind in range(len(self.triggers)) if self._run(kind, at, begin) is not None]
            if not openers:
                at += 1
                continue
            start = self._run(openers[0], at, begin)
            assert start is not None
            triggered, active, following = self._life(at, stop, openers, begin)
            peak = max(self._value(openers[0], i) for i in [*range(start, at), *active])
            kinds = tuple(self.triggers[kind].kind for kind in triggered)
            times = [self.rows[i][0] for i in (start, active[-1], at)]
            yield times[0], times[1], times[2], kinds, peak
            at = following

    def _life(self, opened: int, stop: int, openers: list[int], begin: int) -> tuple[list[int], list[int], int]:
        """What triggered, the frames with activity, and where the search goes on."""
        triggered, active = list(openers), [opened]
        for i in range(opened + 1, stop):
            alive = any(self._above(k, i) for k in range(len(self.triggers)))
            alive = alive or any(self._holds(k, opened, i) for k in triggered)
            late = self.rows[i][0] - self.rows[active[-1]][0] > self.settings.cool_down
            if late and not (alive and active[-1] == i - 1):
                return triggered, active, i
            if alive:
                active.append(i)
                new = [k for k in range(len(self.triggers)) if self._run(k, i, begin) is not None]
                triggered += [k for k in new if k not in triggered]
        return triggered, active, stop

    def _value(self, kind: int, i: int) -> float:
        return self.rows[i][1 + ["paper", "surprise"].index(self.triggers[kind].kind)]

    def _above(self, kind: int, i: int) -> bool:
        return self._value(kind, i) > self.triggers[kind].threshold

    def _holds(self, kind: int, opened: int, i: int) -> bool:
        """Whether the newest frame that was above the threshold is followed by none below the leave level."""
        leave = self.triggers[kind].threshold * self.settings.leave  # what is normal is 0
        ups = [j for j in range(opened, i + 1) if self._above(kind, j)]
        return bool(ups) and all(self._value(kind, j) >= leave for j in range(ups[-1], i + 1))

    def _run(self, kind: int, i: int, begin: int) -> int | None:
        """Where the run above the threshold began that has lasted until here; None if it is too short."""
        start = i + 1
        while start > begin and self._above(kind, start - 1):
            start -= 1
        long_enough = start <= i and self.rows[i][0] - self.rows[start][0] >= self.settings.min_duration
        return start if long_enough else None


@settings(max_examples=200, deadline=None)
@given(
    series(),
    st.sampled_from([(PAPER,), (PAPER, SURPRISE), (SURPRISE, PAPER)]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.375, 1.0]),
    st.sampled_from([0.0, 1.0, 6.0]),
)
def test_events_are_those_of_a_slow_search(
    rows: list[Row], triggers: tuple[Trigger, ...], leave: float, min_duration: float, cool_down: float
) -> None:
    chosen = EventSettings(leave=leave, min_duration=min_duration, cool_down=cool_down)
    gate = detector(triggers, chosen)
    found: list[Span] = []
    told: dict[str, float] = {}
    for number, (time, paper, surprise) in enumerate(rows):
        messages = gate.update(scored(number, paper, surprise, time=time))
        told |= {message.event.id: time for message in messages if message.kind == "open"}
        found += [ended(message.event, told) for message in messages if message.kind == "close"]
    found += [ended(message.event, told) for message in gate.close()]
    expected = [(*span[:4], min(span[4], 1.7976931348623157e308)) for span in Slow(rows, triggers, chosen).spans()]
    assert found == expected


def ended(event, told: dict[str, float]) -> Span:  # type: ignore[no-untyped-def]
    return event.start, event.end, told[event.id], event.triggers, event.peak_score
