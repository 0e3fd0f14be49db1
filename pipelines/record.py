"""`record`: a camera's own packets become footage on the disk, for as long as asked, whatever happens meanwhile."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.config.fields import duration_text
from msflow_stream.logs import redact
from msflow_stream.types import Frame, UserError
from msflow_stream.video.cards import DecoderChoice
from msflow_stream.video.live.camera_reader import CameraReader
from msflow_stream.video.live.connection import Connection
from msflow_stream.video.live.states import CameraStatus, State
from msflow_stream.video.packets.footage import Footage
from msflow_stream.video.packets.footage_recorder import FootageRecorder
from msflow_stream.video.reading.source_info import live_name
from msflow_stream.video.sources import is_live

from .terminal.consoles import summary_console
from .terminal.footage_report import footage_report
from .terminal.progress import progress_of
from .terminal.trend import short_reason

LOOK = 0.5  # seconds between two looks at how far it is
SAID = 60.0  # seconds between two lines where there is no terminal
PATIENCE = 5.0  # seconds that packets may be impossible to keep, before that is the end


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordJob:
    """The request to record.

    Attributes:
        url: the camera's address, or a webcam's number.
        seconds: the length of the footage, with what is in the folder already.
        folder: where it goes.
        settings: how the camera is read.
        tell: told now and then how many seconds there are.
    """

    url: str
    seconds: float
    folder: Path
    settings: CameraSettings = field(default_factory=partial(CameraSettings, decode="cpu"))
    tell: Callable[[float], None] = lambda seconds: None


def record(job: RecordJob, console: Console | None = None) -> bool:
    """Records, and prints what came in; returns whether all of it is there: False after Ctrl-C.

    A folder with footage of this camera is gone on with. A camera that is lost is connected again until it comes back;
    one that cannot be reached at first is an error.

    Raises:
        UserError: no camera's address, a camera that cannot be reached or recorded, a folder that cannot be used.
    """
    console, name = console or summary_console(), check_camera(job.url)
    before = Footage.read(job.folder)
    if before is not None and before.name != name:
        raise UserError(f"{job.folder} holds footage of {before.name}, not of {name}: choose another folder")
    with _empty_folder_removed(job.folder), FootageRecorder(job.folder, name=name) as recorder:
        if recorder.seconds:
            console.print(f"going on: {duration_text(recorder.seconds)} are in {job.folder} already", highlight=False)
        whole = recorder.seconds >= job.seconds or _Recording(job, name, recorder).run()
    console.print(footage_report(recorder.footage(), job.folder))
    return whole


def check_camera(url: str) -> str:
    """Returns the name of a camera that can be recorded.

    Raises:
        UserError: it is a file or a folder, or no address.
    """
    if not is_live(url):
        raise UserError(
            f"{redact(url)} is no camera: give an address such as rtsp://camera/stream, or a webcam's number"
        )
    return live_name(url)


class _Recording:
    """One run of a recording, from the first connection until there is enough."""

    def __init__(self, job: RecordJob, name: str, recorder: FootageRecorder) -> None:
        self._job, self._name, self._recorder = job, name, recorder
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        choice = DecoderChoice(name, job.settings.decode)
        self._connect = partial(Connection, job.url, job.settings, name=name, choice=choice, packets=recorder)

    def run(self) -> bool:
        """Records until there is enough; False after Ctrl-C.

        Raises:
            UserError: the camera cannot be reached, or not be recorded.
        """
        try:
            first = [self._connect()]  # here, as a person may have mistyped it; later ones are tried again and again
            reader = CameraReader(
                self._job.url,
                self._deliver,
                random=Random(),
                name=self._name,
                settings=self._job.settings,
                ended=self._end,
                connect=lambda: first.pop() if first else self._connect(),
                packets=self._recorder,
            )
            reader.observe(lambda old, new, reason: self._recorder.note(reader.status().fault))
            with reader, _bars() as bars:
                self._wait(reader, bars)
        except KeyboardInterrupt:
            return False
        if self._failure is not None:
            raise self._failure
        return True

    def _deliver(self, frame: Frame) -> None:
        self._recorder.add(frame)

    def _end(self, error: BaseException | None) -> None:
        self._failure = error
        self._ended.set()

    def _wait(self, reader: CameraReader, bars: Progress) -> None:
        """Waits until there is enough, or nothing comes any more, with a bar; with lines where there is no terminal."""
        recorder, wanted = self._recorder, self._job.seconds
        task = bars.add_task("recording", total=wanted, of=duration_text(wanted), done="0s", note="")
        said = fine = monotonic()
        while (seconds := recorder.seconds) < wanted and not self._ended.wait(LOOK):
            note = _note(reader.status(), recorder)
            bars.update(task, completed=seconds, done=duration_text(seconds), note=note)
            if not bars.console.is_interactive and monotonic() - said >= SAID:
                said = monotonic()
                line = f"{duration_text(seconds)} of {duration_text(wanted)} recorded"
                bars.console.print(f"{line}; {note}" if note else line, highlight=False)
            self._job.tell(seconds)
            obstacle = recorder.obstacle
            fine = monotonic() if obstacle is None else fine
            if monotonic() - fine > PATIENCE:
                raise UserError(f"{self._name}: it cannot be recorded ({obstacle}): set the camera to H.264 or H.265")
        self._job.tell(seconds)


def _note(status: CameraStatus, recorder: FootageRecorder) -> str:
    if recorder.disk_trouble:
        return "the disk is full"
    return "" if status.state is State.RUNNING else f"{status.state}: {short_reason(status.reason)}"


def _bars() -> Progress:
    return progress_of(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]} of {task.fields[of]}"),
        TextColumn("{task.fields[note]}", style="yellow"),
    )


@contextmanager
def _empty_folder_removed(folder: Path) -> Iterator[None]:
    """Leaves no folder behind where nothing was recorded."""
    new = not folder.exists()
    try:
        yield
    finally:
        found = Footage.read(folder)
        if new and found is not None and not found.segments:
            shutil.rmtree(folder, ignore_errors=True)
