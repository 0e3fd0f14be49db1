"""The metrics of one class or scene: scores and maps in, metrics and curves out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from msflow_stream.evaluation.cases import EvaluationCase
from msflow_stream.evaluation.metrics.frames import FrameAuroc
from msflow_stream.evaluation.metrics.ranking import (
    StreamingAupro,
    StreamingAuroc,
    auroc,
    average_precision,
    f1_max,
    known,
)
from msflow_stream.evaluation.metrics.regions import RegionCriteria, tracked
from msflow_stream.evaluation.metrics.streaming import Curve
from msflow_stream.events.detection.regions import Boxes
from msflow_stream.scoring.scorer import MappedScore
from msflow_stream.series import smooth
from msflow_stream.types import SCORE_KINDS, Scores

POINTS = 200  # of a curve in a report


@dataclass(frozen=True, slots=True)
class CaseScores:
    """The scores of one case, by kind of score."""

    clip: str
    index: int
    time: float
    kind: str
    anomalous: bool
    scores: Scores


class MetricsCollector:
    """Collects the cases of one class or scene; memory does not depend on the number of maps.

    Args:
        is_video: true if clips are sequences.
        smoothing: seconds, time constant of the smoothed series.
        thresholds: values of maps, for RBDC and TBDC; without, these are not measured.
        all_labels: labels of all frames of a clip: then frames between samples count for the frame-level AUROC,
            each with the score of the last sample; without, only the sampled ones do.
    """

    def __init__(
        self,
        is_video: bool,
        smoothing: float,
        thresholds: npt.ArrayLike | None = None,
        all_labels: Callable[[str], npt.ArrayLike] | None = None,
    ) -> None:
        self.is_video, self.smoothing, self._all_labels = is_video, smoothing, all_labels
        self.scored: list[CaseScores] = []
        self.has_masks = True  # until a case comes without
        self._pixels, self._pixels_mul, self._regions = StreamingAuroc(), StreamingAuroc(), StreamingAupro()
        self._criteria = None if thresholds is None else RegionCriteria(thresholds)
        self._tracks = _Tracks()

    def add(self, clip: str, case: EvaluationCase, scored: MappedScore) -> None:
        """Adds one case of a clip with its scores and maps."""
        frame, scores = case.frame, scored.score.scores
        self.scored.append(CaseScores(clip, frame.index, frame.time, case.kind, case.anomalous, scores))
        if case.mask is None:
            self.has_masks = False
            return
        self._pixels.add(case.mask, scored.add)
        self._pixels_mul.add(case.mask, scored.ranking_map)
        self._regions.add(case.mask, scored.ranking_map)
        if self._criteria is not None:
            self._criteria.add(scored.add, *self._tracks.follow(clip, case.mask))

    def metrics(self) -> dict[str, float | None]:
        """Returns the metrics by name, in 0-1; None where only one label occurs."""
        result: dict[str, float | None] = {}
        if self.is_video:
            frame = self._frame_auroc()
            for name, value in frame.pooled().items():
                result[f"frame_auroc_micro_{name}"] = value
            for name, value in frame.macro().items():
                result[f"frame_auroc_macro_{name}"] = value
        else:
            labels = [one.anomalous for one in self.scored]
            for kind in SCORE_KINDS:
                scores = [one.scores.of(kind) for one in self.scored]
                best = f1_max(labels, scores)
                result[f"image_auroc_{kind}"] = auroc(labels, scores)
                result[f"image_ap_{kind}"] = average_precision(labels, scores)
                result[f"image_f1_max_{kind}"] = None if best is None else best.value
        if self.has_masks:
            result["pixel_auroc"] = self._pixels.value()
            result["pixel_ap"] = self._pixels.average_precision()
            result["pixel_auroc_mul"] = self._pixels_mul.value()
            result["aupro"] = self._regions.value()
            if self._criteria is not None:
                result |= {"rbdc": self._criteria.rbdc(), "tbdc": self._criteria.tbdc()}
        return result

    def curves(self) -> dict[str, Curve]:
        """Returns the ROC of every score, the ROC of pixels and PRO, thinned; those that exist."""
        labels = np.array([one.anomalous for one in self.scored])
        curves: dict[str, Curve | None] = {}
        if labels.any() and not labels.all():
            from sklearn.metrics import roc_curve  # slow to import

            for kind in SCORE_KINDS:
                flags, values = known(labels, [one.scores.of(kind) for one in self.scored])
                if flags.all() or not flags.any():
                    continue
                x, y, _ = roc_curve(flags, values, drop_intermediate=True)
                curves[f"{'frames' if self.is_video else 'images'}, {kind}"] = Curve(x, y)
        if self.has_masks:
            curves |= {"pixels": self._pixels.roc(), "PRO": self._regions.curve()}
        return {name: curve.thinned(POINTS) for name, curve in curves.items() if curve is not None}

    def _frame_auroc(self) -> FrameAuroc:
        """Over the sampled frames, or over all."""
        result = FrameAuroc("sampled" if self._all_labels is None else "all")
        for clip in dict.fromkeys(one.clip for one in self.scored):
            part = [one for one in self.scored if one.clip == clip]
            times = [one.time for one in part]
            series: dict[str, list[float]] = {kind: [one.scores.of(kind) for one in part] for kind in SCORE_KINDS}
            series |= {f"{kind}_smoothed": smooth(times, values, self.smoothing) for kind, values in series.items()}
            if self._all_labels is None:
                result.add(clip, [one.anomalous for one in part], range(len(part)), series)
            else:
                result.add(clip, self._all_labels(clip), [one.index for one in part], series)
        return result


class _Tracks:
    """Labelled regions of successive masks and the tracks they belong to, clip by clip."""

    def __init__(self) -> None:
        self._clip: str | None = None
        self._masks: deque[npt.NDArray[np.bool_]] = deque()
        self._found: Iterator[tuple[Boxes, list[int]]] = iter(())

    def follow(self, clip: str, mask: npt.NDArray[np.bool_]) -> tuple[Boxes, list[tuple[str, int]]]:
        """Returns the regions of the next mask of a clip, and the track of each, unique over all clips."""
        if clip != self._clip:
            self._clip = clip
            self._found = tracked(self._masks.popleft() for _ in count())
        self._masks.append(mask)
        boxes, numbers = next(self._found)
        return boxes, [(clip, number) for number in numbers]
