"""The quality of events beside labels: collected clip by clip, and summed up over seeds and scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.evaluation.collector import CaseScores
from msflow_stream.evaluation.metrics.events import HOUR, EventCriteria, Span, side_by_side
from msflow_stream.events.detection.detector import EventDetector, EventList
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.results.wording import trigger_wording
from msflow_stream.scenes.calibration import overlay_style
from msflow_stream.scenes.scene import Scene
from msflow_stream.series import ScoreSmoother, labelled_spans
from msflow_stream.types import FoundEvent, Frame, FrameScore

METRICS = (
    "precision",
    "recall",
    "labels_covered",
    "time_outside",
    "alarms_per_hour",
    "false_alarms_per_hour",
    "time_to_detection",
)
COUNTS = ("events", "spans_found", "further", "outside", "spans", "hours")
LONGEST = ("longest_event", "longest_label")


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

    @property
    def missed(self) -> list[Span]:
        """The labelled spans without an event of their own."""
        lines = side_by_side(self.events, self.spans)
        return [span for span, event, _ in lines if span is not None and event is None]


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
        """Returns the figures of all clips together, and of each with its events, its spans and those missed."""
        clips = {
            clip.name: {
                **figures(clip.criteria),
                "found": [event._asdict() for event in clip.events],
                "labelled": [list(span) for span in clip.spans],
                "missed": [list(span) for span in clip.missed],
            }
            for clip in self.clips
        }
        return {"of": self.of, "pooled": figures(self.criteria), "clips": clips}


def figures(found: EventCriteria) -> dict[str, float | None]:
    """Returns the figures by name; shares in 0-1, times in seconds unless they say otherwise."""
    return {key: getattr(found, key) for key in (*METRICS, *COUNTS[:-1], *LONGEST)} | {"hours": found.seconds / HOUR}


class SceneEvents:
    """The events of the clips of one scene, found as `watch` and `score` find them while their frames are scored."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        score = scene.settings.score
        self._triggers = triggers_of(scene.settings.event, score, scene.calibration)
        self._level = overlay_style(scene.calibration, score).middle
        self._clips: dict[str, tuple[EventDetector, ScoreSmoother, EventList]] = {}

    def add(self, clip: str, frame: Frame, score: FrameScore) -> None:
        """Adds the next scored frame of a clip."""
        if clip not in self._clips:
            self._clips[clip] = self._begin(frame)
        detector, smoother, events = self._clips[clip]
        events.add(detector.update(smoother(score)), score.time)

    def _begin(self, frame: Frame) -> tuple[EventDetector, ScoreSmoother, EventList]:
        settings, (height, width) = self._scene.settings, frame.shape[:2]
        smoothing = settings.score.smoothing
        detector = EventDetector(
            self._triggers, settings.event, smoothing=smoothing, level=self._level, size=(width, height)
        )
        return detector, ScoreSmoother(smoothing), EventList()

    def quality(
        self, scored: Sequence[CaseScores], all_labels: Callable[[str], npt.ArrayLike] | None = None
    ) -> EventQuality:
        """Returns the events of all clips, now that each is over, beside the labelled spans.

        Args:
            scored: sampled frames, clip by clip.
            all_labels: gives a label for every frame of a clip; without, spans are those of the sampled frames.
        """
        score, calibration = self._scene.settings.score, self._scene.calibration
        found = EventQuality(f"scene {self._scene.name}: {trigger_wording(self._triggers, score, calibration)}")
        for clip, group in groupby(scored, key=lambda one: one.clip):
            detector, _, events = self._clips[clip]
            events.add(detector.close(), 0.0)
            flags, rate = _flags(list(group), None if all_labels is None else all_labels(clip))
            found.add(ClipEvents(clip, events.found, labelled_spans(flags, rate), len(flags) / rate))
        return found


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
        events = [
            one for seed in seeds if (one := seed.get("events")) and "further" in one["pooled"]
        ]  # else: older ones
        if events:
            pooled = {key: [one["pooled"][key] for one in events] for key in (*COUNTS, *METRICS, *LONGEST)}
            means = {key: None if None in values else fmean(values) for key, values in pooled.items()}
            summary[name] = {**means, "of": events[0]["of"]}
    return summary
