"""The recorded scores of a camera in a span of time, as arrays: read from its files of scores, rotated ones too."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from msflow_stream.results.run_folder import SCORES
from msflow_stream.types import SCORE_COLUMNS, ScoreRow
from msflow_stream.watch.outputs.activity_file import ACTIVITY
from msflow_stream.watch.outputs.score_log import FINISHED
from msflow_stream.watch.replay.activity import Activity

Floats = npt.NDArray[np.float64]

WALL = b"2026-01-02T03:04:05.678Z,"  # what a line begins with
JUDGED = ("smoothed", "threshold", "alarm", "probability")
OTHERS = tuple(column for column in ScoreRow.COLUMNS if column not in JUDGED)
GAP_SECONDS, GAP_STEPS = 3.0, 3.0  # without a score, in seconds and in usual steps: longer than both is a gap
DAY = timedelta(days=1)
SET_BACK = 3600.0  # seconds by which a clock may have been set back while a file was written
CHUNK = 64 * 2**10  # bytes; a part of a file is found that closely


@dataclass(frozen=True)
class Recorded:
    """What a camera recorded in a span; columns are read when they are asked for.

    Attributes:
        source: the camera's name.
        wall: seconds since 1970 (UTC) at which each frame arrived, N.
        activity: the frames that may matter, with their regions and maps.
    """

    source: str
    wall: Floats
    activity: Activity
    _blocks: Sequence[_Block] = field(repr=False)

    @classmethod
    def read(
        cls, folder: Path, since: datetime | None = None, until: datetime | None = None, source: str | None = None
    ) -> Recorded:
        """Reads what is in a camera's folder; of a camera that recorded nothing there are no rows.

        Args:
            folder: the folder of the camera.
            since, until: the first and last moment, with time zones; None for as far as there is something.
            source: name of the camera; that of the folder if None.
        """
        first = -math.inf if since is None else since.timestamp()
        last = math.inf if until is None else until.timestamp()
        blocks = [block for path in files(folder, since, until) if (block := _block(path, first, last)) is not None]
        blocks.sort(key=lambda block: float(block.wall[0]))
        wall = np.concatenate([block.wall for block in blocks]) if blocks else np.empty(0)
        return cls(source or folder.name, wall, Activity.read(folder / ACTIVITY, since, until), blocks)

    def __len__(self) -> int:
        """Returns the number of frames."""
        return len(self.wall)

    @property
    def index(self) -> npt.NDArray[np.int64]:
        """The position in the source of each frame, N."""
        return self._others["index"].astype(np.int64)

    @property
    def time(self) -> Floats:
        """Seconds from the source's start, N; they begin anew with every start of the watch."""
        return self._others["time"]

    @property
    def scores(self) -> Floats:
        """The scores as they were computed, N x 5 in the order of SCORE_KINDS; not a number where one is missing."""
        return np.stack([self._others[column] for column in SCORE_COLUMNS], axis=1)

    @property
    def reused(self) -> npt.NDArray[np.bool_]:
        """Whether a frame took the scores of an earlier one, N."""
        return np.asarray(self._others["reused"] == 1)

    @property
    def smoothed(self) -> Floats:
        """The smoothed score that each frame was judged by, N."""
        return self._judged["smoothed"]

    @property
    def threshold(self) -> Floats:
        """What it was compared with, N; infinite where there was none."""
        return self._judged["threshold"]

    @property
    def alarm(self) -> npt.NDArray[np.bool_]:
        """Whether it was above, N."""
        return np.asarray(self._judged["alarm"] == 1)

    @property
    def probability(self) -> Floats:
        """The probability of so high a score in a normal frame, N; not a number where that is not known."""
        return self._judged["probability"]

    @cached_property
    def step(self) -> float:
        """The usual seconds between two frames; 0 where there are not two."""
        return float(np.median(np.diff(self.wall))) if len(self.wall) > 1 else 0.0

    @cached_property
    def gaps(self) -> npt.NDArray[np.int64]:
        """The positions of the frames that come after a gap."""
        return np.flatnonzero(np.diff(self.wall) > max(GAP_SECONDS, GAP_STEPS * self.step)) + 1

    @property
    def hours(self) -> float:
        """The length of what was watched, without gaps."""
        if not len(self.wall):
            return 0.0
        ends, starts = np.append(self.gaps - 1, len(self.wall) - 1), np.append(0, self.gaps)
        return float((self.wall[ends] - self.wall[starts] + self.step).sum() / 3600)

    @cached_property
    def _judged(self) -> dict[str, Floats]:
        return self._columns(JUDGED)

    @cached_property
    def _others(self) -> dict[str, Floats]:
        return self._columns(OTHERS)

    def _columns(self, names: Sequence[str]) -> dict[str, Floats]:
        parts = [block.columns(names) for block in self._blocks]
        found = np.concatenate(parts) if parts else np.empty((0, len(names)))
        return dict(zip(names, found.T, strict=True))


def arrivals(folder: Path, since: datetime | None = None, until: datetime | None = None) -> Recorded:
    """Returns only when the frames of a span arrived: its gaps and hours, in the memory of one file of scores."""
    first = -math.inf if since is None else since.timestamp()
    last = math.inf if until is None else until.timestamp()
    parts = [block.wall for path in files(folder, since, until) if (block := _block(path, first, last)) is not None]
    return Recorded(folder.name, np.sort(np.concatenate(parts)) if parts else np.empty(0), Activity(), ())


def files(folder: Path, since: datetime | None = None, until: datetime | None = None) -> list[Path]:
    """Returns the files of scores of a camera that may have something of a span, in no order."""
    found = [folder / SCORES] if (folder / SCORES).exists() else []
    for path in folder.glob("scores-*.csv"):
        if (match := FINISHED.fullmatch(path.name)) is None:
            continue
        try:
            day = datetime.combine(date.fromisoformat(match[1]), datetime.min.time(), UTC)
        except ValueError:
            continue
        if (since is None or day + 2 * DAY > since) and (until is None or day <= until):  # it may have been full late
            found.append(path)
    return found


@dataclass(frozen=True)
class _Block:
    """Rows of one file.

    Attributes:
        names: its columns, first the time of arrival.
        text: its whole lines, as they are.
        wall: the times of arrival.
    """

    names: Sequence[str]
    text: bytes
    wall: Floats

    def columns(self, names: Sequence[str]) -> Floats:
        """Returns columns, N x C; one that the file does not have is not a number, or 0 for `reused`."""
        there = [name for name in names if name in self.names]
        found = np.full((len(self.wall), len(names)), np.nan)
        found[:, [name == "reused" for name in names]] = 0.0
        if there:
            text = self.text.replace(b",,", b",nan,").replace(b",,", b",nan,").replace(b",\n", b",nan\n")
            places = [self.names.index(name) for name in there]
            values = np.loadtxt(io.BytesIO(text), delimiter=",", usecols=places, comments=None, ndmin=2)
            found[:, [names.index(name) for name in there]] = values
        return found


def _block(path: Path, first: float, last: float) -> _Block | None:
    """Returns the rows of a file in a span; None where it has none, or is no file of a watch's scores."""
    try:
        with path.open("rb") as file:
            names = file.readline().decode("ascii", "replace").rstrip("\n").split(",")
            if names[0] != "wall":
                return None
            start, end = _bounds(file, first - SET_BACK, last + SET_BACK)
            file.seek(start)
            body = file.read(end - start)
    except FileNotFoundError:  # rotated or removed meanwhile
        return None
    body = body[: body.rfind(b"\n") + 1]
    if not body:
        return None
    values = np.frombuffer(body, np.uint8)
    starts, ends = _lines(values, len(names))
    arrived = _walls(values, starts)
    order = np.flatnonzero((arrived >= first) & (arrived <= last))
    if not len(order):
        return None
    if (np.diff(arrived[order]) < 0).any():  # a clock was set back
        order = order[np.argsort(arrived[order], kind="stable")]
    starts, ends, arrived = starts[order], ends[order], arrived[order]
    if (starts[1:] == ends[:-1]).all():
        return _Block(names, body[starts[0] : ends[-1]], arrived)
    return _Block(names, b"".join(body[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)), arrived)


def _bounds(file: BinaryIO, first: float, last: float) -> tuple[int, int]:
    """Returns a part of a file that has all lines from one moment to another; it is at the first line of all."""
    here, size = file.tell(), os.fstat(file.fileno()).st_size
    return _near(file, here, size, first)[0], _near(file, here, size, last)[1]


def _near(file: BinaryIO, low: int, high: int, moment: float) -> tuple[int, int]:
    """Returns where lines begin, close to one another, between which those of a moment do."""
    if math.isinf(moment):
        return low, high
    while high - low > CHUNK:
        file.seek((low + high) // 2)
        file.readline()  # to where a line begins
        middle = file.tell()
        if middle >= high:
            break
        low, high = (middle, high) if _moment(file) < moment else (low, middle)
    return low, high


def _moment(file: BinaryIO) -> float:
    """Returns when the next line of a file arrived that says so; infinite at the end."""
    while line := file.readline():
        try:
            return datetime.fromisoformat(line[: len(WALL) - 1].decode("ascii")).timestamp()
        except ValueError:  # it is damaged
            continue
    return math.inf


def _lines(values: npt.NDArray[np.uint8], columns: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns where lines start and end that have a time of arrival and all columns; those cut off in mid-line lack."""
    separators = np.flatnonzero((values == ord(",")) | (values == ord("\n")))
    last = np.flatnonzero(values[separators] == ord("\n"))  # of each line, by its place in separators
    ends = separators[last] + 1
    starts = np.append(0, ends[:-1])
    counts = np.diff(np.append(-1, last))
    first = separators[np.append(0, last[:-1] + 1)]
    whole = (counts == columns) & (first - starts == len(WALL) - 1)
    return starts[whole], ends[whole]


def _walls(values: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> Floats:
    """Returns the times that lines begin with, in seconds since 1970."""
    stamps = values[starts[:, None] + np.arange(len(WALL) - 2)]  # N x 23: without the Z
    return np.asarray(stamps.view("S23").ravel().astype("datetime64[ms]").astype(np.int64) / 1000)
