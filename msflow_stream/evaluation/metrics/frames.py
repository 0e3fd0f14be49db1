"""Frame-level AUROC of video: per clip, pooled over clips (micro) and as their mean (macro), by name of series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from msflow_stream.evaluation.metrics.ranking import auroc

Frames = Literal["sampled", "all"]
LITERATURE = "frame_auroc_literature"
SIGMA = 3.0  # frames, of the Gaussian over time of AI-VAD's evaluation, among others


def spread(
    index: Sequence[int], values: Mapping[str, Sequence[float]], length: int, frames: Frames
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.float64]]]:
    """Returns the frames of a clip that count, and their values.

    Args:
        index: source indices of the scored frames, ascending.
        values: series of the scored frames, by name.
        length: frames of the clip.
        frames: `sampled` counts the scored frames only; `all` counts every frame from the first scored one on,
            each with the value of the last scored frame.
    """
    scored = np.asarray(index, np.int64)
    if frames == "sampled":
        counted, last = scored, np.arange(len(scored))
    else:
        counted = np.arange(scored[0] if len(scored) else length, length)
        last = np.searchsorted(scored, counted, side="right") - 1
    return counted, {name: np.asarray(series, np.float64)[last] for name, series in values.items()}


@dataclass(slots=True)
class FrameAuroc:
    """Collects labelled series of clips; `clips`, `pooled` and `macro` give AUROC by name of series."""

    frames: Frames = "sampled"
    _labels: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    _values: dict[str, dict[str, npt.NDArray[np.float64]]] = field(default_factory=dict)

    def add(
        self, clip: str, labels: npt.ArrayLike, index: Sequence[int], values: Mapping[str, Sequence[float]]
    ) -> None:
        """Adds one clip: a 0/1 label for each of its frames, and series over the scored ones."""
        flags = np.asarray(labels) != 0
        counted, self._values[clip] = spread(index, values, len(flags), self.frames)
        self._labels[clip] = flags[counted]

    @property
    def labelled(self) -> bool:
        """True once there is a clip."""
        return bool(self._labels)

    def clips(self) -> dict[str, dict[str, float | None]]:
        """Returns the AUROC of each clip alone; None where a clip has only one kind of label."""
        return {
            clip: {name: auroc(self._labels[clip], series) for name, series in values.items()}
            for clip, values in self._values.items()
        }

    def pooled(self) -> dict[str, float | None]:
        """Returns the AUROC over the frames of all clips together (micro)."""
        labels = np.concatenate(list(self._labels.values()))
        names = next(iter(self._values.values()))
        return {name: auroc(labels, np.concatenate([v[name] for v in self._values.values()])) for name in names}

    def macro(self) -> dict[str, float | None]:
        """Returns the mean of the AUROC of the clips that have both labels; None where no clip has."""
        clips = self.clips().values()
        result: dict[str, float | None] = {}
        for name in next(iter(clips)):
            defined = [value for values in clips if (value := values[name]) is not None]
            result[name] = float(np.mean(defined)) if defined else None
        return result

    def counts(self, clip: str | None = None) -> tuple[int, int]:
        """Returns the counted frames of a clip or of all, and the anomalous ones among them."""
        chosen = [self._labels[clip]] if clip is not None else list(self._labels.values())
        return sum(len(flags) for flags in chosen), sum(int(flags.sum()) for flags in chosen)


@dataclass(slots=True)
class LiteratureAuroc:
    """Frame AUROC as most papers report it, to stand beside their figures: with the future and the answer in hand.

    Scores of the scored frames are joined by straight lines to one for every frame of the clip (held before the first
    and after the last; a clip without any is 0), smoothed by a Gaussian over time, which sees what is yet to come, and
    stretched per clip to 0-1, which needs the whole clip and favours clips that hold a violation. The AUROC is over all
    frames of all clips together (micro).

    Args:
        sigma: standard deviation of the Gaussian, in frames.
    """

    sigma: float = SIGMA
    _labels: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    _values: dict[str, list[npt.NDArray[np.float64]]] = field(default_factory=dict)

    def add(self, labels: npt.ArrayLike, index: Sequence[int], values: Mapping[str, Sequence[float]]) -> None:
        """Adds one clip: a 0/1 label for each of its frames, and series over the scored ones, one at least."""
        flags = np.asarray(labels) != 0
        self._labels.append(flags)
        for name, series in values.items():
            known = np.asarray(series, np.float64)
            there = ~np.isnan(known)
            if not there.any():
                known, there = np.zeros(len(known)), np.ones(len(known), bool)
            dense = np.interp(np.arange(len(flags)), np.asarray(index)[there], known[there])
            self._values.setdefault(name, []).append(_stretched(gaussian_filter1d(dense, self.sigma)))

    def pooled(self) -> dict[str, float | None]:
        """Returns the AUROC by name of series; None where only one label occurs."""
        return {name: auroc(np.concatenate(self._labels), np.concatenate(all)) for name, all in self._values.items()}


def _stretched(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The series from 0 for its least to 1 for its highest value; 0 if all are equal."""
    low, high = float(series.min()), float(series.max())
    return (series - low) / (high - low if high > low else 1.0)
