"""The request to a contender and its run: what it took, and the scores that it gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.evaluation.metrics.ranking import auroc

from ..machine import Spent

WARM_UP = 8  # sampled frames of the first clip, before the clock starts
Labels = Mapping[str, npt.NDArray[np.bool_]]  # by clip, one per frame


@dataclass(frozen=True, slots=True)
class ClipScores:
    """One clip: how many frames it has, and the index and score of those that were scored."""

    frames: int
    scored: Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Run:
    """One run over all clips, in a process of its own.

    Attributes:
        load_seconds: until the model could score, without imports.
        spent: from the first clip's opening to the last one's end.
        peak_bytes: of the process.
        clips: in the order of the request.
    """

    load_seconds: float
    spent: Spent
    peak_bytes: int
    clips: Sequence[ClipScores]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Run:
        """Returns the run that an answer in JSON tells of."""
        clips = [ClipScores(one["frames"], [(int(i), float(s)) for i, s in one["scored"]]) for one in answer["clips"]]
        return cls(answer["load_seconds"], Spent(answer["wall"], answer["cpu"]), answer["peak_bytes"], clips)

    @property
    def frames(self) -> int:
        """Frames of all clips."""
        return sum(clip.frames for clip in self.clips)

    @property
    def scored(self) -> int:
        """Frames that were scored."""
        return sum(len(clip.scored) for clip in self.clips)

    def auroc(self, labels: Sequence[npt.NDArray[np.bool_]]) -> float | None:
        """Returns the AUROC of the scored frames of all clips together; None where it is undefined."""
        pairs = [
            (truth[index], score)
            for clip, truth in zip(self.clips, labels, strict=True)
            for index, score in clip.scored
            if index < len(truth)
        ]
        return auroc([label for label, _ in pairs], [score for _, score in pairs]) if pairs else None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A contender's fit: the file or folder of its model, and the seconds that it took."""

    model: Path
    seconds: float


class CannotRunError(Exception):
    """A contender that cannot run here; the message is the reason."""
