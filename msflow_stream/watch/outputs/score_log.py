"""The scores.csv of a camera that is watched for weeks: rotated by day and size, and complete after any end."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from msflow_stream.files import LineFile, make_folder
from msflow_stream.logs import Outage
from msflow_stream.results.run_folder import SCORES
from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.watch.outputs.sink import arrival

logger = logging.getLogger(__name__)

HEADER = (",".join(["wall", *ScoreRow.COLUMNS]) + "\n").encode()
FINISHED = re.compile(r"scores-(\d{4}-\d\d-\d\d)(?:\.(\d+))?\.csv")
MAX_BYTES = 64 * 2**20


class ScoreLog:
    """A sink with a line per scored frame in scores.csv, on disk at once: the time of arrival, and the ScoreRow.

    With a new day (UTC), or when it is full, the file becomes scores-YYYY-MM-DD.csv, the next one of that day
    scores-YYYY-MM-DD.1.csv. After a kill the same file goes on; a line that was cut off is taken away.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, keep_days: float | None = None) -> None:
        """Goes on where an earlier run stopped.

        Args:
            folder: the folder of the camera.
            max_bytes: size of one file at most.
            keep_days: finished files of days that are longer ago are removed; None keeps all.

        Raises:
            UserError: the folder cannot be made.
        """
        make_folder(folder)
        self._folder, self._path = folder, folder / SCORES
        self._max_bytes, self._keep_days = max_bytes, keep_days
        self._lines: LineFile | None = None
        self._day: date | None = None  # of the first row in the file
        self._checked: date | None = None  # the day on which old files were last looked for
        self._lost = 0
        self._closed = False
        self._trouble, self._untidy = Outage(logger), Outage(logger)

    @property
    def lost(self) -> int:
        """Rows that could not be written."""
        return self._lost

    @property
    def losses(self) -> Mapping[str, int]:
        """Rows that could not be written, by cause."""
        return {"disk": self._lost}

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Adds a row."""
        if self._closed:
            raise ValueError(f"the score log in {self._folder} is closed")
        wall = arrival(score)
        line = _line(wall, row)
        try:
            self._lines_for(wall.date(), len(line)).append(line)
        except OSError as error:
            self._lost += 1
            self._trouble.begin(
                f"cannot write {self._path}: {error.strerror}; scores are lost until it can be written again"
            )
        else:
            self._trouble.end(f"{self._path} is written again; {self._lost} scores are lost so far")
        self._remove_old(wall.date())

    def close(self) -> None:
        """Closes the file; twice is fine."""
        self._closed = True
        self._let_go()

    def _lines_for(self, day: date, size: int) -> LineFile:
        """Returns the file that a row of this day and size belongs in."""
        if self._lines is not None and self._lines.is_gone():
            self._let_go()
        if self._lines is None:
            self._lines = self._open()
        self._day = self._day or day
        full = self._lines.size + size > self._max_bytes and self._lines.size > len(HEADER)
        if (full or day != self._day) and self._set_aside(self._day):
            self._let_go()
            self._lines, self._day = self._open(), day
        return self._lines

    def _open(self) -> LineFile:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and not _is_ours(self._path):
            modified = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
            if not self._set_aside(modified.date()):
                raise OSError(0, "its columns are not the ones of this program")
        lines = LineFile(self._path, HEADER)
        self._day = _first_day(self._path)
        return lines

    def _set_aside(self, day: date) -> bool:
        """Gives scores.csv its final name; where that fails the same file goes on."""
        try:
            numbers = [number for _, then, number in self._finished() if then == day]
            number = f".{max(numbers) + 1}" if numbers else ""
            self._path.rename(self._folder / f"scores-{day}{number}.csv")
        except OSError as error:
            self._untidy.begin(f"cannot rotate {self._path}: {error.strerror}; it goes on as it is")
            return False
        self._untidy.end(f"{self._path} is rotated again")
        return True

    def _remove_old(self, today: date) -> None:
        """Removes old files, once a day."""
        if self._keep_days is None or self._checked == today:
            return
        self._checked = today
        try:
            for path, day, _ in self._finished():
                if today - day > timedelta(days=self._keep_days):
                    path.unlink(missing_ok=True)
        except OSError as error:
            self._untidy.begin(f"cannot remove old scores in {self._folder}: {error.strerror}")

    def _finished(self) -> Iterator[tuple[Path, date, int]]:
        """Yields the finished files: path, day, number within the day."""
        for path in self._folder.iterdir():
            if (match := FINISHED.fullmatch(path.name)) and (day := _day(match[1])):
                yield path, day, int(match[2] or 0)

    def _let_go(self) -> None:
        if self._lines is not None:
            self._lines.close()
        self._lines = None


def _line(wall: datetime, row: ScoreRow) -> bytes:
    arrived = wall.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return (",".join([arrived, *row.cells()]) + "\n").encode()


def _is_ours(path: Path) -> bool:
    """Returns True if a file has our columns, or was cut off before it had any."""
    with path.open("rb") as file:
        return HEADER.startswith(file.readline())


def _first_day(path: Path) -> date | None:
    """Returns the day of a file's first row, None where there is none yet."""
    with path.open("rb") as file:
        file.readline()
        return _day(file.readline()[:10].decode("ascii", "replace"))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
