"""The detector beside a slow one that is written the other way round: it knows the whole series, and searches it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.detector import GONE
from msflow_stream.events.detection.triggers import Trigger
from tests.events.detection.detecting import PAPER, SURPRISE, detector, scored

Row = tuple[float, float, float]  # time, paper, surprise
Span = tuple[float, float, float, tuple[str, ...], float]  # start, end, when it was told of, triggers, peak

Runs = dict[int, int]  # number of the trigger to index of the first frame

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
        last, ended, at = begin - 1, begin, begin  # of the event before: its last activity, and where that was known
        while at < stop:
            lasting = partial(self._lasting, begin=begin, last=last, ended=ended)
            runs = lasting(at)
            if not runs:
                at += 1
                continue
            opener, start = next(iter(runs.items()))
            triggered, active = list(runs), [*range(start, at + 1)]
            following = self._live(triggered, active, stop, lasting)
            kinds = tuple(self.triggers[kind].kind for kind in triggered)
            peak = max(self._value(opener, i) for i in active)
            yield self.rows[start][0], self.rows[active[-1]][0], self.rows[at][0], kinds, peak
            last, ended, at = active[-1], following, following

    def _live(self, triggered: list[int], active: list[int], stop: int, lasting: Callable[[int], Runs]) -> int:
        """Adds what triggers later and the frames with activity; returns where the event is known to be over."""
        begin = active[0]
        for i in range(active[-1] + 1, stop):
            own = any(self._holds(kind, begin, i) for kind in triggered)
            quiet = self.rows[i][0] - self.rows[active[-1]][0]
            if quiet > self.settings.cool_down and not (own and active[-1] == i - 1):
                return i
            till = self.rows[i if own else active[-1]][0] + GONE
            others = {kind: start for kind, start in lasting(i).items() if kind not in triggered}
            joining = [kind for kind, start in others.items() if self.rows[start][0] <= till]
            triggered += joining
            if own or joining:
                active.append(i)
            elif quiet >= GONE and others:
                return i
        return stop

    def _lasting(self, i: int, begin: int, last: int, ended: int) -> Runs:
        """The runs above the thresholds that have lasted by then, by kind: where each began."""
        runs = {}
        for kind in range(len(self.triggers)):
            start = i + 1
            while start > begin and self._above(kind, start - 1):
                start -= 1
            start = ended if start <= last else start  # what the event before has seen begin is not another one
            if start <= i and self.rows[i][0] - self.rows[start][0] >= self.settings.min_duration:
                runs[kind] = start
        return runs

    def _value(self, kind: int, i: int) -> float:
        return self.rows[i][1 + ["paper", "surprise"].index(self.triggers[kind].kind)]

    def _above(self, kind: int, i: int) -> bool:
        return self._value(kind, i) > self.triggers[kind].threshold

    def _holds(self, kind: int, begin: int, i: int) -> bool:
        """Whether the newest frame that was above the threshold is followed by none below the leave level."""
        leave = self.triggers[kind].threshold * self.settings.leave  # what is normal is 0
        ups = [j for j in range(begin, i + 1) if self._above(kind, j)]
        return bool(ups) and all(self._value(kind, j) >= leave for j in range(ups[-1], i + 1))


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
