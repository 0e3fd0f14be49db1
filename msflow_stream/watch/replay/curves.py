"""The curves of a dial: the smoothed scores of each kind that triggers events, in few points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from msflow_stream.series import Smoother
from msflow_stream.types import SCORE_KINDS, ScoreKind
from msflow_stream.watch.replay.activity import ActiveFrame
from msflow_stream.watch.replay.history import extremes, listed
from msflow_stream.watch.replay.recorded import Floats, Recorded

TAKEN_OFF = 1e-3  # of a smoothed score: less is rounding
SAME_TIME = 5.0  # seconds between the arrival of a frame as two files have it


def curve(recorded: Recorded, kind: ScoreKind, judged: ScoreKind, smoothing: float, points: int) -> dict[str, Any]:
    """Returns the smoothed score of a kind: "t" in seconds since 1970, and "v", None in gaps.

    Args:
        recorded: the span.
        kind: the one that is wanted.
        judged: the kind that the rows have smoothed already.
        smoothing: seconds.
        points: at most about so many.
    """
    values = (
        recorded.smoothed
        if kind == judged
        else smoothed(recorded, counted(recorded, kind, judged, smoothing), smoothing)
    )
    at, gaps = extremes(recorded.wall, values, points), recorded.gaps
    middle = (recorded.wall[gaps - 1] + recorded.wall[gaps]) / 2 if len(gaps) else np.empty(0)
    times = np.concatenate([recorded.wall[at], middle])
    order = np.argsort(times, kind="stable")
    shown = np.concatenate([values[at], np.full(len(middle), np.nan)])[order]
    return {"t": [round(time, 2) for time in times[order].tolist()], "v": listed(shown)}


def smoothed(recorded: Recorded, scores: Floats, seconds: float) -> Floats:
    """Returns scores as the watch smoothed them, anew after each start."""
    found, last = [], np.inf
    smoother = Smoother(seconds)
    for time, value in zip(recorded.time.tolist(), scores.tolist(), strict=True):
        if time < last:
            smoother = Smoother(seconds)
        found.append(smoother(time, value))
        last = time
    return np.array(found)


def counted(recorded: Recorded, kind: ScoreKind, judged: ScoreKind, seconds: float) -> Floats:
    """Returns the scores of a kind as they counted, as far as that is known.

    Rows have scores as they were computed. Where an exception took something off, which the smoothed score of the
    `judged` kind tells, the recorded activity has what counted; what is not in it was below what is recorded.
    """
    scores = recorded.scores[:, SCORE_KINDS.index(kind)].copy()
    raw = smoothed(recorded, recorded.scores[:, SCORE_KINDS.index(judged)], seconds)
    excepted = np.flatnonzero(raw - recorded.smoothed > TAKEN_OFF * np.maximum(1.0, np.abs(raw)))
    frames: dict[int, list[ActiveFrame]] = {}
    for frame in recorded.activity.frames if len(excepted) else ():
        frames.setdefault(frame.index, []).append(frame)
    for row in excepted.tolist():
        index, wall = int(recorded.index[row]), float(recorded.wall[row])
        same = [one for one in frames.get(index, ()) if abs(one.wall - wall) < SAME_TIME]
        run = next((one for one in reversed(recorded.activity.runs) if one.since <= wall + SAME_TIME), None)
        most = math.inf if run is None else run.floors.get(kind, math.inf)
        scores[row] = same[0].scores[SCORE_KINDS.index(kind)] if same else min(scores[row], most)
    return scores
