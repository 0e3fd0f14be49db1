"""How good the events of labelled clips are: collected clip by clip, printed beside what is labelled, saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from msflow_stream.evaluation.metrics.events import HOUR, EventCriteria, Span, side_by_side
from msflow_stream.results.wording import span as length
from msflow_stream.types import Found
from pipelines.terminal.progress import clock, number, table

COLUMNS = ["clip", "labelled", "event", "told after", ""]
MISSED, WRONG, RIGHT = "missed", "false alarm", "found"


@dataclass(frozen=True, slots=True)
class ClipEvents:
    """The events of a clip and the spans that are labelled in it, in seconds of the clip."""

    name: str
    events: Sequence[Found]
    spans: Sequence[Span]
    seconds: float

    @property
    def criteria(self) -> EventCriteria:
        """Of this clip alone."""
        found = EventCriteria()
        found.add(self.events, self.spans, self.seconds)
        return found

    def lines(self) -> list[list[str]]:
        """Rows of the table: what overlaps side by side, its name in the first of them."""
        pairs = side_by_side(self.events, self.spans)
        return [["" if row else escape(self.name), *_line(*pair)] for row, pair in enumerate(pairs)]


class EventQuality:
    """Collects the clips of a run.

    Args:
        of: scene and thresholds, in words.
    """

    def __init__(self, of: str) -> None:
        self.of = of
        self._clips: list[ClipEvents] = []

    def add(self, clip: ClipEvents) -> None:
        """The next clip."""
        self._clips.append(clip)

    @property
    def criteria(self) -> EventCriteria:
        """Of all clips together."""
        everything = EventCriteria()
        for clip in self._clips:
            everything.merge(clip.criteria)
        return everything

    def result(self) -> dict[str, Any]:
        """What is saved: of all clips together, and of each with its events and spans."""
        clips = {
            clip.name: {
                **figures(clip.criteria),
                "found": [event._asdict() for event in clip.events],
                "labelled": [list(span) for span in clip.spans],
            }
            for clip in self._clips
        }
        return {"of": self.of, "pooled": figures(self.criteria), "clips": clips}

    def print(self, console: Console) -> None:
        """Two tables: the events of every clip beside its labelled spans, and how good they are."""
        lines = [line for clip in self._clips for line in clip.lines()]
        quiet = sum(not clip.events and not clip.spans for clip in self._clips)
        caption = "times in the clip; told after: from the span's start to the event's first message"
        if quiet:
            caption += f"; {quiet} clip{'s' * (quiet > 1)} with neither left out"
        if lines:
            console.print(table("events beside labelled spans", COLUMNS, lines, caption))
        console.print(
            table(
                "events",
                ["", "", "of"],
                _summary(self.criteria),
                f"{escape(self.of)}; right: it overlaps a labelled span",
            )
        )


def figures(found: EventCriteria) -> dict[str, float | None]:
    """By name; shares in 0-1, times in seconds unless they say otherwise."""
    return {
        "precision": found.precision,
        "recall": found.recall,
        "alarms_per_hour": found.alarms_per_hour,
        "false_alarms_per_hour": found.false_alarms_per_hour,
        "time_to_detection": found.time_to_detection,
        "events": found.events,
        "right": found.right,
        "spans": found.spans,
        "spans_found": len(found.delays),
        "hours": found.seconds / HOUR,
    }


def _line(span: Span | None, event: Found | None) -> list[str]:
    delay = "–" if span is None or event is None else f"{max(0.0, event.told - span[0]):.1f} s"
    said = WRONG if span is None else MISSED if event is None else RIGHT
    return [_times(span), _times(event), delay, said]


def _times(one: Span | Found | None) -> str:
    return "–" if one is None else f"{clock(one[0])}–{clock(one[1])}"


def _summary(found: EventCriteria) -> list[list[str]]:
    events, wrong, footage = _count(found.events, "event"), found.events - found.right, length(found.seconds / HOUR)
    return [
        ["precision", number(found.precision), f"{found.right} right of {events}"],
        ["recall", number(found.recall), f"{len(found.delays)} found of {_count(found.spans, 'labelled span')}"],
        ["alarms per hour", number(found.alarms_per_hour, 1), f"{events} in {footage}"],
        ["false alarms per hour", number(found.false_alarms_per_hour, 1), f"{wrong} wrong in {footage}"],
        ["time to detection", _delay(found), f"mean over {_count(len(found.delays), 'span')} found"],
    ]


def _delay(found: EventCriteria) -> str:
    return "–" if found.time_to_detection is None else f"{found.time_to_detection:.2f} s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
