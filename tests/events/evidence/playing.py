"""Scored frames and messages for tests of evidence: a file played as `score` does, a camera watched as `watch` does."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from msflow_stream.config.cameras import Backoff, CameraSettings
from msflow_stream.events.evidence.event_folder import read_event
from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.types import EventMessage, Frame, FrameScore, ScoreRow, Scores
from msflow_stream.video.drawing.overlay import OverlayStyle
from msflow_stream.video.live.camera_reader import CameraReader
from msflow_stream.video.packets.packet_ring import PacketRing
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.events import message

STYLE = OverlayStyle(low=0.2, high=1.0, threshold=0.5)
RATE, EVERY = 25, 5
PATIENCE = 60.0  # seconds, on a busy machine


def scored(frame: Frame) -> tuple[Frame, FrameScore, ScoreRow]:
    """A frame with a score of its own."""
    value = frame.index % 7 / 10
    anomaly_map = np.full((6, 8), value, np.float16)
    return (
        frame,
        FrameScore(frame.source, "yard", frame.index, frame.time, frame.wall, Scores(value, value, value), anomaly_map),
        ScoreRow(frame.index, frame.time, Scores(value, value, value), value, 0.5, 0),
    )


def said(id: str, start: float, peak: int, end: float | None = None, version: int = 1) -> EventMessage:
    """What is said of an event."""
    return message(id, start=start, end=end, peak_index=peak, peak_time=peak / RATE, version=version)


def play(
    path: Path, writer: EvidenceWriter, messages: Mapping[int, EventMessage], every: int = EVERY, most: int = 10**9
) -> None:
    """Gives a writer a file's frames, and behind those with these indices what is said of events."""
    with VideoReader(path, every) as reader:
        for frame in reader:
            if frame.index >= most:
                return
            writer.write(*scored(frame))
            if frame.index in messages:
                writer.event(messages[frame.index])


def evidence(folder: Path) -> dict[str, Any]:
    """What event.json says of the files."""
    found = read_event(folder)
    assert found is not None
    return found[1]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Watched:
    """A live camera whose frames a writer takes in the test's own thread. A context manager.

    Attributes:
        frames: all that the writer took.
    """

    def __init__(self, url: str, ring: PacketRing, writer: EvidenceWriter, every: int = EVERY) -> None:
        self.frames: list[Frame] = []
        self.writer = writer
        self._queue: queue.Queue[Frame] = queue.Queue()
        backoff = Backoff(first=0.05, ceiling=0.2)
        settings = CameraSettings(every=every, open_timeout=5.0, read_timeout=5.0, backoff=backoff)
        self.camera = CameraReader(url, self._queue.put, random=Random(0), name="gate", settings=settings, packets=ring)

    def until(self, true: Callable[[], bool]) -> None:
        """Hands frames to the writer until something is true."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, (len(self.frames), self.camera.status())
            try:
                frame = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            self.writer.write(*scored(frame))
            self.frames.append(frame)

    def until_time(self, time: float) -> None:
        """Hands on the frames up to a time, in seconds from the camera's first frame."""
        self.until(lambda: bool(self.frames) and self.frames[-1].time >= time)

    @property
    def now(self) -> float:
        return self.frames[-1].time

    def __enter__(self) -> Watched:
        self.camera.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.camera.stop()
        self.writer.close()
