"""The agreement of scores and events with labels, collected clip by clip and saved as evaluation.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.datasets.clips import find, load_labels, load_masks, mask_at
from msflow_stream.evaluation.event_quality import ClipEvents, EventQuality
from msflow_stream.evaluation.metrics.frames import LITERATURE, FrameAuroc, Frames, LiteratureAuroc
from msflow_stream.evaluation.metrics.ranking import StreamingAuroc
from msflow_stream.files import write_json
from msflow_stream.results.source_results import SourceResult
from msflow_stream.series import labelled_spans, smooth
from msflow_stream.types import SCORE_KINDS, FrameScore
from msflow_stream.video.reading.video_reader import count_frames

EVALUATION = "evaluation.json"
SMOOTHED = " smoothed"


@dataclass(slots=True)
class ClipTruth:
    """Labels and masks of one clip, and how its maps rank its pixels so far."""

    labels: npt.NDArray[np.bool_] | None = None
    masks: npt.NDArray[np.generic] | None = None
    pixels: StreamingAuroc = field(default_factory=StreamingAuroc)

    def add(self, score: FrameScore) -> None:
        """Adds a scored frame's map to the pixel AUROC."""
        if self.masks is not None:
            self.pixels.add(mask_at(self.masks, score.index, (score.map.shape[0], score.map.shape[1])), score.map)


def find_truth(
    spec: str, clip: str, frames: int | None, labels: Path | None, masks: Path | None, alone: bool
) -> ClipTruth | None:
    """Returns the labels and masks of a clip, None if none are asked for.

    Raises:
        UserError: missing files, or another number of frames than the clip has.
    """
    if labels is None and masks is None:
        return None
    length = count_frames(spec) if frames is None else frames
    return ClipTruth(
        load_labels(find(labels, clip, alone), length) if labels else None,
        load_masks(find(masks, clip, alone), length) if masks else None,
    )


class Evaluation:
    """Frame-level and pixel-level AUROC over the clips of a run, and how good its events are.

    Args:
        frames: the frames that count for the AUROC: sampled ones, or all, each with its newest score.
        smoothing: seconds, time constant of the smoothed series.
        events: without clips as yet.
    """

    def __init__(self, frames: Frames, smoothing: float, events: EventQuality) -> None:
        self.frames, self.smoothing, self.events = frames, smoothing, events
        self._frame, self._literature = FrameAuroc(frames), LiteratureAuroc()
        self._pixel: dict[str, StreamingAuroc] = {}

    def add(self, clip: str, truth: ClipTruth, scored: SourceResult) -> None:
        """Adds one clip; of one that was cut short, the part that was scored."""
        if truth.labels is not None:
            rows, labels = scored.rows, truth.labels[: scored.frames]
            index, times = [row.index for row in rows], [row.time for row in rows]
            series: dict[str, list[float]] = {kind: [row.scores.of(kind) for row in rows] for kind in SCORE_KINDS}
            if rows:
                self._literature.add(labels, index, series)
            series |= {kind + SMOOTHED: smooth(times, values, self.smoothing) for kind, values in series.items()}
            self._frame.add(clip, labels, index, series)
            spans = labelled_spans(labels, scored.rate)
            self.events.add(ClipEvents(clip, scored.found, spans, scored.frames / scored.rate))
        if truth.masks is not None:
            self._pixel[clip] = truth.pixels

    def result(self) -> dict[str, Any]:
        """Returns the AUROC per clip and pooled, by name of series, in 0-1; of labelled clips, the events too."""
        clips: dict[str, dict[str, float | None]] = {}
        pooled: dict[str, float | None] = {}
        if self._frame.labelled:
            clips = {name: dict(values) for name, values in self._frame.clips().items()}
            pooled = self._frame.pooled()
        everything = StreamingAuroc()
        for clip, pixels in self._pixel.items():
            clips.setdefault(clip, {})["pixel"] = pixels.value()
            everything.merge(pixels)
        if self._pixel:
            pooled["pixel"] = everything.value()
        result = {"frames": self.frames, "smoothing_seconds": self.smoothing, "clips": clips, "pooled": pooled}
        if not self._frame.labelled:
            return result
        return result | {LITERATURE: self.literature(), "events": self.events.result()}

    def literature(self) -> dict[str, float | None]:
        """Returns the AUROC as most papers report it, by kind of score, with the Gaussian's sigma in frames."""
        return {"sigma_frames": self._literature.sigma, **self._literature.pooled()}

    def save(self, folder: Path) -> None:
        """Writes evaluation.json."""
        write_json(folder / EVALUATION, self.result())

    def counts(self, clip: str | None) -> tuple[int, int] | None:
        """Returns the frames and the anomalous frames of a clip, or of all; None where no clip has labels."""
        return self._frame.counts(clip) if self._frame.labelled else None

    @property
    def labelled(self) -> bool:
        """True if any clip has labels."""
        return self._frame.labelled
