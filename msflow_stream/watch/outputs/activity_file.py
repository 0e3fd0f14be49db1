"""The file activity.db of a camera: its tables, how values are kept in them, and what writes it."""

from __future__ import annotations

import json
import logging
import sqlite3
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from msflow_stream.events.detection.regions import regions_of
from msflow_stream.logs import Outage
from msflow_stream.series import SmoothedScore
from msflow_stream.types import SCORE_KINDS, Image, Pixels, Why
from msflow_stream.video.drawing.jpeg import to_jpeg
from msflow_stream.video.pixels import shrink

logger = logging.getLogger(__name__)

ACTIVITY = "activity.db"
VERSION = 1  # of the tables; a file of another version is put aside
CELLS = 32  # of a map's side, at most
THUMBNAIL, QUALITY = 192, 70  # pixels of its width; of the JPEG
TIDY_SECONDS = 3600.0  # between two removals of what is old
MAX_BYTES = 2**29  # of a file; the oldest frames make room
TABLES = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, since REAL NOT NULL, scene TEXT NOT NULL, fit TEXT NOT NULL, area TEXT NOT NULL,
    kind TEXT NOT NULL, smoothing REAL NOT NULL, leave REAL NOT NULL, level REAL NOT NULL, floors TEXT NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE frames (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs, wall REAL NOT NULL, number INTEGER NOT NULL,
    time REAL NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, scores BLOB NOT NULL, smoothed BLOB NOT NULL,
    boxes BLOB, why TEXT, reused INTEGER NOT NULL, map BLOB
);
CREATE INDEX frames_wall ON frames (wall);
CREATE TABLE bursts (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs, start REAL NOT NULL, until REAL NOT NULL,
    wall REAL NOT NULL, number INTEGER NOT NULL, jpeg BLOB NOT NULL
);
CREATE INDEX bursts_until ON bursts (until);
"""


class RunFacts(NamedTuple):
    """A row of runs: how a camera was watched."""

    scene: str
    fit: str
    area: str
    kind: str
    smoothing: float
    leave: float
    level: float
    floors: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A frame to keep.

    Attributes:
        run: number of the way of watching since the start.
        facts: that way.
        wall: when it arrived, in seconds since 1970.
        scored: its scores.
        size: its width and height.
        active: a score is held in it, so that its regions matter.
        burst: number of the burst of activity that it is in.
        pixels: the frame, where it is the most striking one of the burst so far.
        lost: frames that could not be kept so far.
    """

    run: int
    facts: RunFacts
    wall: float
    scored: SmoothedScore
    size: tuple[int, int]
    active: bool
    burst: int
    pixels: Image | Pixels | None
    lost: int


class ActivityFile:
    """The file, written by one thread; each frame is in it at once, whatever ends the program.

    Args:
        path: the file; opened with the first frame.
        keep_days: what is older is removed; None keeps it.
    """

    def __init__(self, path: Path, keep_days: float | None = None) -> None:
        self._path, self._keep_days = path, keep_days
        self._file: sqlite3.Connection | None = None
        self._inode = 0
        self._run: tuple[int, int] | None = None  # number since the start, and in the file
        self._burst: tuple[int, int] | None = None
        self._lost_before = self._tidied = 0.0
        self._lost = 0
        self._trouble = Outage(logger)

    @property
    def losses(self) -> Mapping[str, int]:
        """Frames that could not be written, by cause."""
        return {"disk": self._lost}

    def write(self, kept: Kept) -> None:
        """Adds a frame."""
        try:
            file = self._opened()
            with file:
                file.execute("BEGIN")
                run = self._run_of(file, kept)
                self._add(file, run, kept)
            self._tidy(file)
        except (sqlite3.Error, OSError) as error:
            self._lost += 1
            self._let_go()
            self._trouble.begin(f"cannot write {self._path}: {error}; what may be asked of its thresholds is lost")
        else:
            self._trouble.end(f"{self._path} is written again; {self._lost} frames are lost so far")

    def close(self) -> None:
        """Closes the file; twice is fine."""
        self._let_go()

    def _opened(self) -> sqlite3.Connection:
        if self._file is not None and self._is_gone():
            self._let_go()
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _open(self._path)
            self._inode = self._path.stat().st_ino
        return self._file

    def _is_gone(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def _run_of(self, file: sqlite3.Connection, kept: Kept) -> int:
        """Returns the number of the frame's run in the file, which it begins if it is the first."""
        if self._run is None or self._run[0] != kept.run:
            columns = ", ".join(RunFacts._fields)
            values = (kept.wall, *kept.facts)
            row = file.execute(f"INSERT INTO runs (since, {columns}) VALUES ({_marks(values)})", values)
            self._run, self._burst, self._lost_before = (kept.run, int(row.lastrowid or 0)), None, kept.lost
        elif kept.lost > self._lost_before:
            missing = kept.lost - self._lost_before
            file.execute("UPDATE runs SET lost = lost + ? WHERE id = ?", (missing, self._run[1]))
            self._lost_before = kept.lost
        return self._run[1]

    def _add(self, file: sqlite3.Connection, run: int, kept: Kept) -> None:
        score, (width, height) = kept.scored.score, kept.size
        boxes = regions_of(score.map, kept.facts.level, kept.size) if kept.active else ()
        smoothed = np.array([kept.scored.smoothed[kind] for kind in SCORE_KINDS], "<f8")
        values = (
            *(run, kept.wall, score.index, score.time, width, height),
            *(np.array(score.scores, "<f8").tobytes(), smoothed.tobytes()),
            np.array(boxes, "<i4").tobytes() if boxes else None,
            None if score.why is None or not kept.active else json.dumps(_listed(score.why)),
            int(score.reused),
            packed(score.map) if kept.active else None,
        )
        file.execute(f"INSERT INTO frames VALUES (NULL, {_marks(values)})", values)
        if kept.pixels is not None:
            self._show(file, run, kept, kept.pixels)
        elif self._burst is not None and not kept.active:
            file.execute("UPDATE bursts SET until = ? WHERE id = ?", (kept.wall, self._burst[1]))
            self._burst = None

    def _show(self, file: sqlite3.Connection, run: int, kept: Kept, pixels: Image | Pixels) -> None:
        """Makes a frame the thumbnail of its burst."""
        values = (kept.wall, kept.wall, kept.scored.score.index, thumbnail_of(pixels))
        if self._burst is not None and self._burst[0] == kept.burst:
            file.execute(
                "UPDATE bursts SET until = ?, wall = ?, number = ?, jpeg = ? WHERE id = ?", (*values, self._burst[1])
            )
            return
        columns = "run, start, until, wall, number, jpeg"
        row = file.execute(f"INSERT INTO bursts ({columns}) VALUES (?, ?, ?, ?, ?, ?)", (run, kept.wall, *values))
        self._burst = kept.burst, int(row.lastrowid or 0)

    def _tidy(self, file: sqlite3.Connection) -> None:
        """Removes what is old or too much, now and then."""
        now = time()
        if now - self._tidied < TIDY_SECONDS:
            return
        self._tidied = now
        if self._keep_days is not None:
            _remove(file, now - self._keep_days * 86400)
        pages, size = (file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if pages * size > MAX_BYTES:
            first, last = file.execute("SELECT min(wall), max(wall) FROM frames").fetchone()
            _remove(file, first + (last - first) / 4)

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._run = self._burst = None


def _open(path: Path) -> sqlite3.Connection:
    """Opens the file; one that is damaged or of another version is put aside, and a new one begun."""
    try:
        return _prepared(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # it is locked, or the disk is full
            raise
        aside = path.with_name(f"{path.stem}-{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}{path.suffix}")
        logger.warning("%s cannot be gone on with (%s): it is %s now", path, error, aside.name)
        path.replace(aside)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        version = file.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            file.execute("PRAGMA auto_vacuum = INCREMENTAL")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}, not {VERSION}")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA wal_autocheckpoint = 64")  # pages: the file beside it stays small
        file.execute("PRAGMA synchronous = NORMAL")  # whole after any end of the program, and but for a moment of power
        if version == 0:
            file.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    except BaseException:
        file.close()
        raise
    return file


def _remove(file: sqlite3.Connection, before: float) -> None:
    """Removes what is older than a moment; the run that goes on then stays."""
    with file:
        file.execute("BEGIN")
        file.execute("DELETE FROM frames WHERE wall < ?", (before,))
        file.execute("DELETE FROM bursts WHERE until < ?", (before,))
        file.execute("DELETE FROM runs WHERE id < (SELECT max(id) FROM runs WHERE since < ?)", (before,))
    file.execute("PRAGMA incremental_vacuum").fetchall()


def thumbnail_of(pixels: Image | Pixels) -> bytes:
    """Returns a frame as a small JPEG."""
    height, width = pixels.shape[:2]
    smaller = min(1.0, THUMBNAIL / width)
    return to_jpeg(shrink(pixels, (max(1, round(height * smaller)), max(1, round(width * smaller)))).rgb(), QUALITY)


def packed(heat: npt.NDArray[np.float16]) -> bytes:
    """Returns a map, h x w, made small: the largest value of each cell, one byte each; `unpacked` reads it."""
    cells = pooled(heat.astype(np.float32))
    low, high = np.float32(cells.min()), np.float32(cells.max())
    scaled = np.zeros(cells.shape, np.uint8) if high <= low else np.rint((cells - low) / (high - low) * 255)
    return (
        bytes(cells.shape) + np.array([low, high], "<f4").tobytes() + zlib.compress(scaled.astype(np.uint8).tobytes())
    )


def unpacked(content: bytes) -> npt.NDArray[np.float32]:
    """Returns the map of what `packed` made of it."""
    rows, columns = content[0], content[1]
    low, high = np.frombuffer(content, "<f4", 2, 2)
    cells = np.frombuffer(zlib.decompress(content[10:]), np.uint8).reshape(rows, columns)
    return np.asarray(low + cells.astype(np.float32) / 255 * (high - low), np.float32)


def pooled(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns the largest values of at most CELLS x CELLS parts of about the same size."""
    for axis in (0, 1):
        size = heat.shape[axis]
        starts = np.arange(min(size, CELLS)) * size // min(size, CELLS)
        heat = np.maximum.reduceat(heat, starts, axis=axis)
    return heat


def _listed(why: Why) -> list[object]:
    moved = None if why.moved is None else list(why.moved)
    return [why.appearance, why.motion, why.view, moved, why.x, why.y]


def _marks(values: tuple[object, ...]) -> str:
    return ", ".join("?" * len(values))
