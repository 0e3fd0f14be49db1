"""How well scores rank anomalous above normal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """Area under the ROC curve; None where only one of the two labels occurs (it is undefined then)."""
    labels = np.asarray(labels, bool)
    if labels.all() or not labels.any():
        return None
    return float(roc_auc_score(labels, np.asarray(scores, np.float64)))


class StreamingAuroc:
    """AUROC of any number of float16 values in constant memory, exact with ties counted as half.

    A float16 takes 65536 values, so two histograms over its bit patterns hold all that a ranking needs.
    """

    def __init__(self) -> None:
        self._normal = np.zeros(2**16, np.int64)
        self._anomalous = np.zeros(2**16, np.int64)

    def add(self, labels: npt.ArrayLike, scores: npt.NDArray[np.float16]) -> None:
        """Adds values with their labels (nonzero: anomalous), both of one shape."""
        keys = _sortable(np.ascontiguousarray(scores, np.float16)).ravel()
        anomalous = np.asarray(labels).ravel() != 0
        both = np.bincount(keys, minlength=2**16)
        positive = np.bincount(keys[anomalous], minlength=2**16)
        self._anomalous += positive
        self._normal += both - positive

    def merge(self, other: StreamingAuroc) -> None:
        """Adds all that another one has seen."""
        self._normal += other._normal
        self._anomalous += other._anomalous

    def value(self) -> float | None:
        """The AUROC so far, None where only one of the two labels occurred."""
        normal, anomalous = int(self._normal.sum()), int(self._anomalous.sum())
        if not normal or not anomalous:
            return None
        below = np.cumsum(self._normal) - self._normal / 2  # of each value: normal ones below, equal ones by half
        return float((self._anomalous * below).sum() / normal / anomalous)


def _sortable(values: npt.NDArray[np.float16]) -> npt.NDArray[np.uint16]:
    """uint16 keys in the order of the values: IEEE floats sort as sign and magnitude."""
    bits = (values + np.float16(0)).view(np.uint16)  # -0 becomes +0, so that both are one key
    return np.where(bits & 0x8000, ~bits, bits | 0x8000).astype(np.uint16)
