"""The ranking of anomalous above normal: AUROC, AP, F1 and AUPRO, of images, and of pixels as they come."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.evaluation.metrics.streaming import Curve, ValueCounts, halves

LIMIT = 0.3  # of the false positive rate, in Bergmann et al.


class F1(NamedTuple):
    """An F1 score, and the threshold (`score >= threshold` is anomalous) that reaches it."""

    value: float
    threshold: float


def known(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Returns the labels and scores of which the score is a number: no motion is known in a clip's first frame."""
    values, flags = np.asarray(scores, np.float64), np.asarray(labels, bool)
    there = ~np.isnan(values)
    return flags[there], values[there]


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """Returns the area under the ROC curve; None where only one of the two labels occurs (it is undefined then).

    Here and below, scores that are not a number are left out.
    """
    labels, scores = known(labels, scores)
    if labels.all() or not labels.any():
        return None
    from sklearn.metrics import roc_auc_score  # slow to import, here and below

    return float(roc_auc_score(labels, scores))


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """Returns the precision at every distinct score, weighted by the recall gained there; None without anomalies."""
    labels, scores = known(labels, scores)
    if not labels.any():
        return None
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores))


def f1_max(labels: npt.ArrayLike, scores: npt.ArrayLike) -> F1 | None:
    """Returns the best F1 over all thresholds and the highest threshold that reaches it; None without anomalies.

    The threshold is chosen with the labels in hand: a bound of what a threshold can do, not what one will do.
    """
    labels, scores = known(labels, scores)
    if not labels.any():
        return None
    from sklearn.metrics import confusion_matrix_at_thresholds

    _, false, missed, true, thresholds = confusion_matrix_at_thresholds(labels, scores)
    f1 = 2 * true / (2 * true + false + missed)
    best = int(np.argmax(f1))  # the first of the equal ones; thresholds descend
    return F1(float(f1[best]), float(thresholds[best]))


class StreamingAuroc:
    """AUROC, average precision and ROC curve of any number of pixels in constant memory.

    Scores are compared at float16 resolution (11 significant bits, one part in 2048) and then exactly, ties as ties.
    Rounding keeps the order or makes a tie, so the AUROC differs from that of the unrounded scores by at most half
    the share of (anomalous, normal) pairs that it makes equal. Scores that crowd at the upper end of a range, such
    as 1 - exp(-x) near 1, are better added as the x that they come from.
    """

    def __init__(self) -> None:
        self._normal, self._anomalous = ValueCounts(), ValueCounts()

    def add(self, labels: npt.ArrayLike, scores: npt.ArrayLike) -> None:
        """Adds values with their labels (nonzero: anomalous), both of one shape."""
        values, anomalous = halves(scores), np.asarray(labels) != 0
        self._anomalous.add(values[anomalous])
        self._normal.add(values[~anomalous])

    def merge(self, other: StreamingAuroc) -> None:
        """Adds all that another one has seen."""
        self._normal.merge(other._normal)
        self._anomalous.merge(other._anomalous)

    def counts(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Returns the counts themselves, normal and anomalous, to be kept and to be filled again."""
        return self._normal.counts, self._anomalous.counts

    def value(self) -> float | None:
        """Returns the AUROC so far, None where only one of the two labels occurred."""
        normal, anomalous = self._normal.ascending(), self._anomalous.ascending()
        pairs = normal.sum() * anomalous.sum()
        if not pairs:
            return None
        below = np.cumsum(normal) - normal / 2  # of each value: normal ones below, equal ones by half
        return float((anomalous * below).sum() / pairs)

    def average_precision(self) -> float | None:
        """Returns the average precision so far, as `average_precision` has it; None where nothing was anomalous."""
        anomalous = self._anomalous.ascending()[::-1]
        if not anomalous.any():
            return None
        true, false = np.cumsum(anomalous), np.cumsum(self._normal.ascending()[::-1])
        occurred = anomalous > 0  # recall is gained at these thresholds only
        return float(np.average((true / np.maximum(true + false, 1))[occurred], weights=anomalous[occurred]))

    def roc(self) -> Curve | None:
        """Returns the true over the false positive rate, a corner for each distinct value; None as the AUROC."""
        return rates(self._normal.ascending(), self._anomalous.ascending())


def rates(normal: npt.NDArray[np.float64], anomalous: npt.NDArray[np.float64]) -> Curve | None:
    """Returns the share of `anomalous` over share of `normal` at or above each threshold, from the highest down.

    Args:
        normal: count (or weight) of each value, ascending by value.
        anomalous: the same values' other count.

    Returns:
        From (0, 0), a threshold above all, to (1, 1); None where either holds nothing.
    """
    if not normal.any() or not anomalous.any():
        return None
    occurred = (normal > 0) | (anomalous > 0)
    false, true = (np.append(0, np.cumsum(counts[occurred][::-1])) for counts in (normal, anomalous))
    return Curve(false / false[-1], true / true[-1])


class StreamingAupro:
    """Area under the per-region overlap curve of any number of maps, in constant memory (1 MiB).

    Of Bergmann et al., "The MVTec Anomaly Detection Dataset: A Comprehensive Real-World Dataset for Unsupervised
    Anomaly Detection" (IJCV 2021). A pixel is found where `map >= t`. PRO(t) is the mean, over all regions of all
    masks, of the found share of a region; a region is a connected component of a mask, diagonal neighbours included.
    FPR(t) is the found share of the normal pixels of all images, those without any region among them.

    Instead of a loop over thresholds: the found shares of all regions add up to the weight of the found pixels, each
    of which weighs 1 / size of its region. So two histograms over the values, of normal pixels and of this weight, give
    both rates at every threshold at once. Scores are compared at float16 resolution (11 significant bits) and then
    exactly: every distinct value is a threshold.
    """

    def __init__(self) -> None:
        self._normal, self._regions = ValueCounts(), ValueCounts()

    def add(self, mask: npt.ArrayLike, anomaly_map: npt.ArrayLike) -> None:
        """Adds one map H x W and its mask H x W (nonzero: anomalous)."""
        values, anomalous = halves(anomaly_map), np.asarray(mask) != 0
        self._normal.add(values[~anomalous])
        if anomalous.any():
            _, labels = cv2.connectedComponents(np.ascontiguousarray(anomalous, np.uint8), connectivity=8)
            inside = labels[anomalous]
            self._regions.add(values[anomalous], 1 / np.bincount(inside)[inside])

    def merge(self, other: StreamingAupro) -> None:
        """Adds all that another one has seen."""
        self._normal.merge(other._normal)
        self._regions.merge(other._regions)

    def value(self, limit: float = LIMIT) -> float | None:
        """Returns the mean PRO for false positive rates from 0 to `limit`, in 0-1, interpolated linearly at the limit.

        None where there was no region or no normal pixel.
        """
        curve = self.curve()
        return None if curve is None else curve.mean(limit)

    def curve(self) -> Curve | None:
        """Returns PRO over FPR from (0, 0) to (1, 1), a corner for each distinct value; None as the value."""
        return rates(self._normal.ascending(), self._regions.ascending())
