"""The history of a camera for charts: few points, in which all peaks stay and gaps are gaps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.watch.replay.recorded import Recorded

DIGITS = 5  # of what is sent


def history(recorded: Recorded, points: int = 2000) -> dict[str, Any]:
    """Returns the smoothed score of a span, with at most about so many points.

    Of each part of the span there are the lowest and the highest score. A gap has a point without values.

    Returns:
        t: seconds since 1970; score (smoothed), threshold, probability: a value each, None in gaps and where there is
        none; alarm, gaps: spans [from, until]; kind: the score that counts, None where that is not known.
    """
    wall, gaps = recorded.wall, recorded.gaps
    at = extremes(wall, recorded.smoothed, points)
    breaks = [[float(wall[gap - 1]), float(wall[gap])] for gap in gaps.tolist()]
    columns = {"score": recorded.smoothed, "threshold": recorded.threshold, "probability": recorded.probability}
    middle = [(start + end) / 2 for start, end in breaks]
    times = np.concatenate([wall[at], middle])
    order = np.argsort(times, kind="stable")
    lacking = np.full(len(middle), np.nan)
    drawn = {name: listed(np.concatenate([values[at], lacking])[order]) for name, values in columns.items()}
    runs = recorded.activity.runs
    return {
        "t": [round(time, 3) for time in times[order].tolist()],
        **drawn,
        "alarm": alarm_spans(recorded),
        "gaps": breaks,
        "kind": runs[-1].kind if runs else None,
    }


def extremes(wall: npt.NDArray[np.float64], values: npt.NDArray[np.float64], points: int) -> npt.NDArray[np.int64]:
    """Returns the positions of the lowest and the highest value of each of points / 2 equal parts of the time."""
    if len(wall) <= max(points, 2):
        return np.arange(len(wall))
    parts = max(points // 2, 1)
    part = np.minimum((wall - wall[0]) / (wall[-1] - wall[0] or 1.0) * parts, parts - 1).astype(np.int64)
    starts = np.append(0, np.flatnonzero(np.diff(part)) + 1)
    lowest = _where(np.where(np.isnan(values), np.inf, values), starts, np.minimum)
    highest = _where(np.where(np.isnan(values), -np.inf, values), starts, np.maximum)
    return np.unique(np.concatenate([lowest, highest, [0, len(wall) - 1]]))


def _where(values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], best: np.ufunc) -> npt.NDArray[np.int64]:
    """Returns the first position of the best value of each part."""
    counts = np.diff(np.append(starts, len(values)))
    found = np.flatnonzero(values == np.repeat(best.reduceat(values, starts), counts))
    return np.asarray(found[np.searchsorted(found, starts)], np.int64)


def alarm_spans(recorded: Recorded) -> list[list[float]]:
    """Returns the spans in which rows are alarms, none over a gap."""
    alarm, wall = recorded.alarm, recorded.wall
    change = np.diff(np.concatenate([[0], alarm.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    inside = recorded.gaps[alarm[recorded.gaps] & alarm[recorded.gaps - 1]]
    starts, ends = np.sort(np.append(starts, inside)), np.sort(np.append(ends, inside))
    return [[float(wall[start]), float(wall[end - 1])] for start, end in zip(starts, ends, strict=True)]


def listed(values: npt.NDArray[np.float64]) -> list[float | None]:
    """Returns numbers for JSON, which has neither NaN nor infinity."""
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()]
