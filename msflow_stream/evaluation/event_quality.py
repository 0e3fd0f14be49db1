"""The quality of the events of labelled clips, collected clip by clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msflow_stream.evaluation.metrics.events import HOUR, EventCriteria, Span
from msflow_stream.types import FoundEvent


@dataclass(frozen=True, slots=True)
class ClipEvents:
    """The events of a clip and the spans that are labelled in it, in seconds of the clip."""

    name: str
    events: Sequence[FoundEvent]
    spans: Sequence[Span]
    seconds: float

    @property
    def criteria(self) -> EventCriteria:
        """The criteria of this clip alone."""
        found = EventCriteria()
        found.add(self.events, self.spans, self.seconds)
        return found


class EventQuality:
    """Collects the clips of a run.

    Args:
        of: scene and thresholds, in words.

    Attributes:
        clips: those collected so far.
    """

    def __init__(self, of: str) -> None:
        self.of = of
        self.clips: list[ClipEvents] = []

    def add(self, clip: ClipEvents) -> None:
        """Adds the next clip."""
        self.clips.append(clip)

    @property
    def criteria(self) -> EventCriteria:
        """The criteria of all clips together."""
        everything = EventCriteria()
        for clip in self.clips:
            everything.merge(clip.criteria)
        return everything

    def result(self) -> dict[str, Any]:
        """Returns the figures of all clips together, and of each with its events and spans."""
        clips = {
            clip.name: {
                **figures(clip.criteria),
                "found": [event._asdict() for event in clip.events],
                "labelled": [list(span) for span in clip.spans],
            }
            for clip in self.clips
        }
        return {"of": self.of, "pooled": figures(self.criteria), "clips": clips}


def figures(found: EventCriteria) -> dict[str, float | None]:
    """Returns the figures by name; shares in 0-1, times in seconds unless they say otherwise."""
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
