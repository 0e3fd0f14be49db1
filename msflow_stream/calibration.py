"""What is normal for the scores of a scene, from footage that its fit has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from msflow_stream.batches import batched
from msflow_stream.config import ScoreKind
from msflow_stream.footage import Footage
from msflow_stream.scene import Calibration, Scene
from msflow_stream.smoothing import smooth

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
MAP_QUANTILES = (0.99, 0.9999)  # of normal map values: where the overlay's heat begins, and half of where it is full
BATCH = 8


def calibrate(scene: Scene, footage: Footage) -> Calibration:
    """Scores of the held-out frames (of all frames, where none are held out), summarised."""
    positions = footage.held_out or footage.fitted
    kinds: tuple[ScoreKind, ...] = ("paper", "surprise", "surprise_mean")
    scores: list[list[float]] = [[], [], []]
    peaks: list[np.ndarray] = []
    for part in batched(positions, BATCH):
        measures = scene.measure_features(footage.cache.batch(part))
        for values, measured in zip(scores, measures[:3], strict=True):
            values += measured.tolist()
        peaks += [np.quantile(one.float().numpy(), MAP_QUANTILES) for one in measures.map]
    low, high = np.median(peaks, axis=0)[0], np.max(peaks, axis=0)[1]
    return Calibration(
        frames=len(footage.held_out),
        quantiles={
            kind: {str(q): float(v) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}
            for kind, values in zip(kinds, scores, strict=True)
        },
        thresholds={
            kind: _highest_smoothed(values, [footage.origin[p] for p in positions], scene.settings.score.smoothing)
            for kind, values in zip(kinds, scores, strict=True)
        },
        map_range=(float(low), float(high)),
    )


def _highest_smoothed(values: Sequence[float], origin: Sequence[tuple[str, int, float]], seconds: float) -> float:
    highest = -np.inf
    for _, group in groupby(zip(origin, values, strict=True), key=lambda pair: pair[0][0]):
        pairs = list(group)
        highest = max(highest, *smooth([o[2] for o, _ in pairs], [v for _, v in pairs], seconds))
    return float(highest)
