"""The quality of events beside labels: collected clip by clip, and summed up over seeds and scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.evaluation.collector import CaseScores
from msflow_stream.evaluation.metrics.events import HOUR, EventCriteria, Span
from msflow_stream.events.detection.detector import EventDetector, find_events
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.results.wording import trigger_wording
from msflow_stream.scenes.scene import Scene
from msflow_stream.series import ScoreSmoother, labelled_spans
from msflow_stream.types import FoundEvent, FrameScore

METRICS = ("precision", "recall", "alarms_per_hour", "false_alarms_per_hour", "time_to_detection")
COUNTS = ("events", "right", "spans", "spans_found", "hours")
NOTHING = np.zeros((1, 1), np.float16)  # a map without regions: where something is does not matter here


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


def event_quality(
    scene: Scene, scored: Sequence[CaseScores], all_labels: Callable[[str], npt.ArrayLike] | None = None
) -> EventQuality:
    """Returns the events of all clips, found as `watch` and `score` find them, beside the labelled spans.

    Args:
        scene: with its thresholds.
        scored: sampled frames, clip by clip.
        all_labels: gives a label for every frame of a clip; without, spans are those of the sampled frames.
    """
    score, event, calibration = scene.settings.score, scene.settings.event, scene.calibration
    triggers = triggers_of(event, score, calibration)
    found = EventQuality(f"scene {scene.name}: {trigger_wording(triggers, score, calibration)}")
    for clip, group in groupby(scored, key=lambda one: one.clip):
        frames = list(group)
        detector = EventDetector(triggers, event, smoothing=score.smoothing, level=1.0, size=(1, 1))
        events = find_events(detector, map(ScoreSmoother(score.smoothing), _scores(frames, scene.name)))
        flags, rate = _flags(frames, None if all_labels is None else all_labels(clip))
        found.add(ClipEvents(clip, events, labelled_spans(flags, rate), len(flags) / rate))
    return found


def _scores(frames: Sequence[CaseScores], scene: str) -> Iterator[FrameScore]:
    for one in frames:
        yield FrameScore(one.clip, scene, one.index, one.time, None, one.scores, NOTHING)


def _flags(frames: Sequence[CaseScores], labels: npt.ArrayLike | None) -> tuple[npt.NDArray[np.bool_], float]:
    """Labels at regular times from the clip's start on, and how many there are a second (of a single frame: 1)."""
    seconds = frames[-1].time - frames[0].time
    if labels is None:
        steps, flags = len(frames) - 1, np.array([one.anomalous for one in frames])
    else:
        steps, flags = frames[-1].index - frames[0].index, np.asarray(labels) != 0
    return flags, steps / seconds if seconds else 1.0


def event_metrics(found: EventCriteria) -> dict[str, float | None]:
    """Returns the metrics that are averaged over seeds and scenes."""
    values = figures(found)
    return {f"event_{key}": values[key] for key in METRICS}


def summarise_events(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Returns the figures of every scene of video as means over seeds, and how its events were found."""
    summary = {}
    for name, seeds in results.items():
        events = [seed["events"] for seed in seeds if seed.get("events")]
        if events:
            pooled = {key: [one["pooled"][key] for one in events] for key in (*COUNTS, *METRICS)}
            means = {key: None if None in values else fmean(values) for key, values in pooled.items()}
            summary[name] = {**means, "of": events[0]["of"]}
    return summary
