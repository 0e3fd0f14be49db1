"""The scores of normal frames that a camera with a new scene gives, kept on disk until there are enough of them."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import numpy as np

from msflow_stream.files import LineFile, make_folder
from msflow_stream.logs import Outage
from msflow_stream.scenes.thresholds import MAP_QUANTILES, NormalScore, NormalStatistics
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.teaching.learning import LearningRecord
from msflow_stream.types import SCORE_COLUMNS, FrameScore, Scores

log = logging.getLogger(__name__)

COLUMNS = ("source", "index", "time", "warm", "hot", *SCORE_COLUMNS)
GAP = 5.0  # seconds between two frames, after which they are of two sources


class CalibrationRun:
    """The collection of a camera's scores after the fit. One thread adds, others may look; to be closed.

    What an earlier process collected counts.

    Attributes:
        seconds: of normal scores so far, without gaps.
        wanted: as many seconds are enough.
    """

    def __init__(self, scene: Path, fit: str, record: LearningRecord) -> None:
        """Goes on with what is there.

        Args:
            scene: the scene's folder.
            fit: what tells this fit from others: scores of an earlier one are of no use.
            record: says how many seconds.

        Raises:
            UserError: the folder cannot be made.
        """
        self.wanted, self._camera = record.calibrate, record.camera
        path = run_file(scene, fit)
        make_folder(path.parent)
        self.seconds = _seconds(read_scores(path)) if path.exists() else 0.0
        self._path = path
        self._lines: LineFile | None = None  # opened with the first score
        self._lock, self._closed = Lock(), False
        self._source, self._last = "", -GAP
        self._trouble = Outage(log)

    @property
    def is_enough(self) -> bool:
        """Whether there is enough to make thresholds of."""
        return self.seconds >= self.wanted

    def add(self, score: FrameScore) -> None:
        """Adds the next frame."""
        with self._lock:
            if not (self.is_enough or self._closed):
                self._add(score)

    def _add(self, score: FrameScore) -> None:
        step = score.time - self._last
        if not self._source or not 0 < step <= GAP:
            self._source = f"{self._camera} {datetime.now(UTC).isoformat(timespec='seconds')}"
            step = 0.0
        warm, hot = np.quantile(score.map.astype(np.float32), MAP_QUANTILES)
        values = (f"{value:.9g}" for value in (warm, hot, *score.scores))
        line = ",".join([self._source, str(score.index), f"{score.time:.6f}", *values])
        try:
            if self._lines is None:
                self._lines = LineFile(self._path, (",".join(COLUMNS) + "\n").encode())
            self._lines.append(f"{line}\n".encode())
        except OSError as error:
            self._trouble.begin(f"{self._camera}: calibration waits: {error.strerror}")
            return
        self._trouble.end(f"{self._camera}: calibration goes on")
        self._last, self.seconds = score.time, self.seconds + step

    def close(self) -> None:
        """Closes the file; twice is fine."""
        with self._lock:
            self._closed = True
            if self._lines is not None:
                self._lines.close()


def run_file(scene: Path, fit: str) -> Path:
    """Returns the file with the scores of a fit."""
    return learn_folder(scene) / f"calibration-{fit}.csv"


def statistics(path: Path) -> NormalStatistics:
    """Returns what a file of scores holds."""
    normal = NormalStatistics()
    for score, peaks in read_scores(path):
        normal.scores.append(score)
        normal.peaks.append(peaks)
    return normal


def read_scores(path: Path) -> Iterator[tuple[NormalScore, np.ndarray[tuple[int], np.dtype[np.float64]]]]:
    """Yields the scores in a file, and MAP_QUANTILES of their maps; what was cut off is left out."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            if len(row) == len(COLUMNS) and row[0] != COLUMNS[0]:
                try:
                    source, index, time, *values = row
                    warm, hot, *scores = map(float, values)
                    yield NormalScore(source, int(index), float(time), Scores(*scores)), np.array([warm, hot])
                except ValueError:
                    continue


def _seconds(scores: Iterator[tuple[NormalScore, object]]) -> float:
    total, last = 0.0, None
    for score, _ in scores:
        if last is not None and last.source == score.source and 0 < score.time - last.time <= GAP:
            total += score.time - last.time
        last = score
    return total
