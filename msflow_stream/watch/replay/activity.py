"""The recorded activity of a camera: the frames that may matter to its detector, with their regions, maps and looks."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.series import SmoothedScore
from msflow_stream.types import SCORE_KINDS, Box, FrameScore, Motion, ScoreKind, Scores, Why
from msflow_stream.watch.outputs.activity_file import VERSION, unpacked

NO_MAP = np.zeros((0, 0), np.float16)


@dataclass(frozen=True, slots=True)
class ActivityRun:
    """A time in which a camera was watched in one way: by one scene, from one start of the watch on.

    Attributes:
        id: its number in the file.
        since: when its first frame arrived, in seconds since 1970.
        scene: name of the scene.
        fit: what tells the scene's weights from those of another fit.
        area: the areas that were watched and ignored, as JSON.
        kind: the score that the scene is judged by.
        smoothing, leave, level: as its detector had them.
        floors: by trigger, the threshold from which upwards everything that matters was recorded.
        lost: frames that mattered and could not be recorded.
    """

    id: int
    since: float
    scene: str
    fit: str
    area: str
    kind: ScoreKind
    smoothing: float
    leave: float
    level: float
    floors: Mapping[ScoreKind, float]
    lost: int


@dataclass(frozen=True)
class ActiveFrame:
    """A frame that may matter.

    Attributes:
        id: its number in the file.
        run: the run that it belongs to.
        wall: when it arrived, in seconds since 1970.
        index, time: as in scores.csv, the time exactly.
        size: its width and height.
        scores, smoothed: N = 5 each, in the order of SCORE_KINDS, exactly.
        boxes: the regions of its map above the run's level; none in a frame without activity.
        why: the parts of the combined score.
        reused: it took the scores of an earlier frame.
    """

    id: int
    run: ActivityRun
    wall: float
    index: int
    time: float
    size: tuple[int, int]
    scores: npt.NDArray[np.float64]
    smoothed: npt.NDArray[np.float64]
    boxes: tuple[Box, ...]
    why: Why | None
    reused: bool
    _map: bytes | None

    @cached_property
    def map(self) -> npt.NDArray[np.float32] | None:
        """The anomaly map, h x w of at most 32 x 32: each cell is the largest value of its part; None if there is none.

        Values are exact to a 255th of their range.
        """
        return None if self._map is None else unpacked(self._map)

    def scored(self, source: str) -> SmoothedScore:
        """Returns the frame as a detector takes it, without its map."""
        score = FrameScore(
            source,
            self.run.scene,
            self.index,
            self.time,
            datetime.fromtimestamp(self.wall, UTC),
            Scores(*self.scores.tolist()),
            NO_MAP,
            self.reused,
            self.why,
        )
        return SmoothedScore(score, dict(zip(SCORE_KINDS, self.smoothed.tolist(), strict=True)))


@dataclass(frozen=True, slots=True)
class Burst:
    """A burst of activity of which there is a thumbnail.

    Attributes:
        id: the number of the thumbnail in the file.
        start, end: first and last frame so far, in seconds since 1970.
        wall, index: the frame that is shown.
    """

    id: int
    start: float
    end: float
    wall: float
    index: int


@dataclass(frozen=True, slots=True)
class Activity:
    """The activity of a camera in a span; empty where none was recorded.

    Attributes:
        runs: all that have frames in the span, or began in it or last before it, in their order.
        frames: in their order.
        bursts: in their order.
    """

    runs: Sequence[ActivityRun] = ()
    frames: Sequence[ActiveFrame] = ()
    bursts: Sequence[Burst] = ()

    @classmethod
    def read(cls, path: Path, since: datetime | None = None, until: datetime | None = None) -> Activity:
        """Reads activity.db; a file that is not there, or of a newer program, has none."""
        span = -math.inf if since is None else since.timestamp(), math.inf if until is None else until.timestamp()
        if not path.exists():
            return cls()
        with closing(opened(path)) as file:
            if file.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                return cls()
            runs = {run.id: run for run in _runs(file, *span)}
            frames = file.execute(
                "SELECT id, run, wall, number, time, width, height, scores, smoothed, boxes, why, reused, map"
                " FROM frames WHERE wall BETWEEN ? AND ? ORDER BY id",
                span,
            )
            found = [_frame(row, runs) for row in frames if row[1] in runs]
            bursts = file.execute(
                "SELECT id, start, until, wall, number FROM bursts WHERE until >= ? AND start <= ? ORDER BY id", span
            )
            return cls(tuple(runs.values()), tuple(found), tuple(Burst(*row) for row in bursts))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was recorded, not even that there was nothing."""
        return not self.runs


def thumbnail(path: Path, id: int) -> bytes | None:
    """Returns the JPEG of a burst, None where there is none."""
    if not path.exists():
        return None
    with closing(opened(path)) as file:
        row = file.execute("SELECT jpeg FROM bursts WHERE id = ?", (id,)).fetchone()
    return None if row is None else bytes(row[0])


def opened(path: Path) -> sqlite3.Connection:
    """Opens the file for reading, while it is written or not."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)


def _runs(file: sqlite3.Connection, first: float, last: float) -> Iterator[ActivityRun]:
    columns = "id, since, scene, fit, area, kind, smoothing, leave, level, floors, lost"
    rows = file.execute(
        f"SELECT {columns} FROM runs WHERE since <= ? AND id >= coalesce("
        "(SELECT max(id) FROM runs WHERE since <= ?), 0) ORDER BY id",
        (last, first),
    )
    for row in rows:
        named = dict(zip(columns.split(", "), row, strict=True))
        yield ActivityRun(**{**named, "floors": json.loads(named["floors"])})


def _frame(row: tuple[Any, ...], runs: Mapping[int, ActivityRun]) -> ActiveFrame:
    id, run, wall, number, time, width, height, scores, smoothed, boxes, why, reused, heat = row
    return ActiveFrame(
        id,
        runs[run],
        wall,
        number,
        time,
        (width, height),
        np.frombuffer(scores, "<f8"),
        np.frombuffer(smoothed, "<f8"),
        () if boxes is None else tuple(map(tuple, np.frombuffer(boxes, "<i4").reshape(-1, 4).tolist())),
        None if why is None else why_of(json.loads(why)),
        bool(reused),
        heat,
    )


def why_of(values: Sequence[Any]) -> Why:
    """Returns the parts of a score from a list of them in JSON."""
    appearance, motion, view, moved, x, y = values
    return Why(appearance, motion, view, None if moved is None else Motion(*moved), x, y)
