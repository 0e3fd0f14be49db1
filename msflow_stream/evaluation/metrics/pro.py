"""AUPRO: how much of every anomalous region is found, however small, at a bounded false positive rate."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.evaluation.metrics.ranking import rates
from msflow_stream.evaluation.metrics.streaming import Curve, ValueCounts, halves

LIMIT = 0.3  # of the false positive rate, in Bergmann et al.


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
