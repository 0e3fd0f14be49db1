"""A video file or a folder of images in a camera's place: read once, in order, and nothing of it is dropped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.types import Frame, UserError
from msflow_stream.video.cards import Card
from msflow_stream.video.live.faults import ADVICE, Fault
from msflow_stream.video.live.states import CameraStatus, Counts, Observer, Reporter, State
from msflow_stream.video.reading.source_info import OneShot
from msflow_stream.video.sources import Reader, open_source, source_name


def is_file(url: str) -> bool:
    """Returns whether a camera's url is that of a file or folder, there or not; a number is a webcam."""
    return not url.isdecimal() and "://" not in url


class FileCamera(OneShot):
    """A file that is watched as if it were a camera: its sampled frames, as fast as they are taken.

    Iterating raises a UserError where the file cannot be read.

    >>> camera = FileCamera("gate.mp4", name="gate")  # doctest: +SKIP
    >>> for frame in camera:  # doctest: +SKIP
    ...     print(frame.index, camera.status().state)
    """

    def __init__(
        self,
        path: str,
        *,
        name: str | None = None,
        settings: CameraSettings | None = None,
        motion: bool = True,
        card: Card | None = None,
    ) -> None:
        """Prepares; the file is opened when its frames are asked for.

        Args:
            path: the file or folder.
            name: the source's name; made from the path where it is None.
            settings: of these, `every` and `decode` count.
            motion: the frames come with what was `earlier`.
            card: the card of the scene, for `decode`.
        """
        self.name = name or source_name(path)
        super().__init__(self.name, "a file is read once; make another camera")
        settings = settings or CameraSettings()
        self._path, self._every, self._decode, self._card = path, settings.every, settings.decode, card
        self._motion_every = 1 if motion else None
        self._counts, self._reporter = Counts(), Reporter(self.name)
        self._stopping = threading.Event()

    def observe(self, observer: Observer) -> None:
        """Tells `observer(old, new, reason)` of every change of state, in the thread that makes it; be quick."""
        self._reporter.observe(observer)

    def status(self) -> CameraStatus:
        """Returns a snapshot; a file is never behind live, so there is no lag."""
        return self._counts.snapshot(self.name, self._reporter.condition, monotonic())

    def ask_to_stop(self) -> None:
        """Asks the reading to end before the next frame, and returns at once. From any thread; twice is fine."""
        self._stopping.set()

    def close(self) -> None:
        """Ends the reading, as `ask_to_stop` does."""
        self.ask_to_stop()

    def _frames(self) -> Iterator[Frame]:
        ending = "stopped"
        try:
            if not self._stopping.is_set():
                with open_source(
                    self._path, self._every, motion_every=self._motion_every, decode=self._decode, card=self._card
                ) as reader:
                    yield from self._pour(reader)
            ending = ending if self._stopping.is_set() else "the file has ended"
        except UserError as error:
            fault = Fault.GARBLED if Path(self._path).exists() else Fault.NOT_FOUND
            self._reporter.move(State.FAILED, str(error), fault)
            raise
        except Exception as error:
            self._reporter.move(
                State.FAILED, f"internal error ({type(error).__name__}); {ADVICE[Fault.BUG]}", Fault.BUG
            )
            raise
        finally:
            self._reporter.move(State.STOPPED, ending)  # a camera that has failed stays so

    def _pour(self, reader: Reader) -> Iterator[Frame]:
        with self._counts.lock:
            self._counts.segment, self._counts.info = 0, replace(reader.info, name=self.name)
        for frame in reader:
            if self._stopping.is_set():
                return
            if self._reporter.condition.state is State.CONNECTING:
                self._reporter.move(State.RUNNING, "pictures come")
            with self._counts.lock:
                self._counts.sampled += 1
                self._counts.last_wall = datetime.now(UTC)
            self._count(reader)
            yield replace(frame, source=self.name)
        self._count(reader)

    def _count(self, reader: Reader) -> None:
        with self._counts.lock:
            self._counts.read, self._counts.errors = reader.frames_read, reader.damaged
            self._counts.decoder = reader.decoder
