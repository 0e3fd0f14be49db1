"""Footage of a camera, recorded as it comes: its own packets, in segments, for a scene to learn from."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from time import monotonic, time
from types import TracebackType
from typing import BinaryIO, Self

from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from msflow_stream.files import make_folder
from msflow_stream.locks import take_lock
from msflow_stream.logs import Outage
from msflow_stream.types import Frame, UserError
from msflow_stream.video.coverage import Coverage
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.picture_check import is_flat
from msflow_stream.video.packets.footage import GAP, Cause, Footage
from msflow_stream.video.packets.footage_writer import FootageWriter
from msflow_stream.video.packets.packet_ring import CodedPacket, PacketRing
from msflow_stream.video.packets.stream_copy import CopyError
from msflow_stream.video.pixels import sample

logger = logging.getLogger(__name__)

LOCK = ".lock"
KEPT = 10.0  # seconds of packets that a slow disk may be behind
HELD = 1.0  # seconds that packets are held back, until it is known what they show
PAUSE = 0.5  # seconds between two looks at what came
NOTED = 5.0  # seconds between two writings of footage.json
TELL_NOTHING: dict[Fault | None, Cause] = {Fault.BLACK: "black", Fault.FROZEN: "frozen"}


class FootageRecorder:
    """An observer of a camera that writes its packets as segments into a folder. A context manager.

    A thread of its own writes, so that a slow disk does not hold the camera up. A segment begins with a key frame,
    after some minutes, after a gap, with every connection and with frames of another size or coding; what is written
    plays after any end, SIGKILL too. Frames that are black are not kept, and none while the camera is frozen: a scene
    that learnt them would take a covered lens for normal. A folder that holds footage already is gone on with.

    The camera's reader tells it of packets; its owner tells it of the sampled frames (`add`), which it looks at, and of
    changes of the camera's trouble (`note`).

    Areas of privacy are not made black in here: footage is as the camera sends it, in a folder for its owner alone.
    """

    def __init__(
        self, folder: Path, *, name: str, minutes: float = 3.0, pause: float = 10.0, wall: Callable[[], float] = time
    ) -> None:
        """Opens the folder, and writes what comes from now on.

        Args:
            folder: made where it is missing.
            name: the camera's, never an address.
            minutes: the length of a segment, about.
            pause: seconds from a full disk to the next attempt.
            wall: the time of day, in seconds since 1970.

        Raises:
            UserError: the folder cannot be made or read, or another recording writes to it.
        """
        make_folder(folder)
        self._lock = _held_alone(folder)
        try:
            folder.chmod(0o700)
            footage = Footage.found(folder, name)
        except OSError as error:
            self._lock.close()
            raise UserError(f"cannot read {folder}: {error.strerror}; choose another folder") from None
        self._folder, self._pause, self._wall = folder, pause, wall
        self._writer, self._ring = FootageWriter(folder, footage, minutes * 60), PacketRing(KEPT, name=name)
        self._offset = 0.0  # from the camera's time to the time of day
        self._next: int | None = None  # number of the packet that comes next
        self._newest = self._after = (
            self._last_flat
        ) = -math.inf  # the time up to which frames came, and after which they count
        self._skipping = False
        self._flat: float | None = None  # the time of the first black frame of those that come now
        self._came = self._noted = monotonic()
        self._failed = -math.inf
        self._fault: Fault | None = None
        self._since = self._came
        self._begun, self._refused = False, ""
        self._disk, self._notes = Outage(logger), Outage(logger)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-footage", daemon=True)
        self._thread.start()

    @property
    def coverage(self) -> Coverage:
        """What the footage covers."""
        return self._writer.footage.coverage

    @property
    def seconds(self) -> float:
        """The length of the footage in the folder, from earlier recordings too, without gaps."""
        return self._writer.seconds

    @property
    def obstacle(self) -> str | None:
        """The reason why nothing can be recorded of what the camera sends; None as long as there is none."""
        return self._refused or (self._ring.obstacle if self._begun else None)

    @property
    def disk_trouble(self) -> bool:
        """Whether the disk takes nothing now; it is tried again."""
        return self._disk.lasts

    @property
    def skipped_until(self) -> float:
        """The time, as frames have it, of the last one that was skipped because it showed nothing."""
        return self._after

    def footage(self) -> Footage:
        """Returns what is in the folder so far."""
        return self._writer.whole

    def add(self, frame: Frame) -> None:
        """Looks at a sampled frame: whether it is black, and what it adds to the coverage. By one thread, at once."""
        if is_flat(sample(frame.pixels)):
            self._flat = frame.time if self._flat is None else self._flat
            self._last_flat = frame.time
            self.coverage.interrupt()
            return
        self._flat = None
        if self._fault in TELL_NOTHING:
            self.coverage.interrupt()
        else:
            self.coverage.add(frame)

    def note(self, fault: Fault | None) -> None:
        """Notes the trouble that the camera is in now, None for none: to be told of every change."""
        now = monotonic()
        if self._fault is not None:
            faults = self._writer.footage.faults
            faults[self._fault] = faults.get(self._fault, 0.0) + now - self._since
        self._fault, self._since = fault, now

    def begin(self, stream: VideoStream, time_base: Fraction) -> None:
        """Notes that a connection begins."""
        self._ring.begin(stream, time_base)
        self._begun = True

    def packet(self, packet: Packet[Stream]) -> None:
        """Notes a packet."""
        self._ring.packet(packet)

    def frame(self, frame: VideoFrame, time: float) -> None:
        """Notes when a frame is shown, and with it those that should have been shown before it."""
        self._offset = self._wall() - time
        self._ring.frame(frame, time)

    def close(self) -> None:
        """Writes what is left, and ends; twice is fine."""
        self._stopping.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        """Does the work of the thread."""
        self._write_notes()
        while not self._stopping.wait(PAUSE):
            self._safely(self._advance)
            if monotonic() - self._noted >= NOTED:
                self._write_notes()
        self._safely(self._advance)
        self._safely(self._writer.finish)
        self.note(None)
        self._write_notes()
        self._lock.close()

    def _safely(self, work: Callable[[], None]) -> None:
        """Does a part of the work; what the disk refuses is tried again later."""
        try:
            work()
        except OSError as error:
            self._fail("disk")
            self._disk.begin(f"footage in {self._folder}: {error.strerror}; tried again every {self._pause:g} s")
        except CopyError as error:
            self._fail("camera")
            self._refused = str(error)
        except Exception:
            logger.exception("footage in %s: a segment is given up", self._folder)
            self._fail("camera")

    def _fail(self, cause: Cause) -> None:
        self._writer.abandon()
        self._writer.cause, self._failed = cause, monotonic()

    def _advance(self) -> None:
        """Writes what came since the last time."""
        if monotonic() - self._failed < self._pause and not self._stopping.is_set():
            return
        flat = self._flat
        if cause := TELL_NOTHING.get(self._fault) or (None if flat is None else "black"):
            self._skip(cause, -math.inf if flat is None else flat)
        else:
            if self._skipping:
                self._after, self._skipping = max(self._after, self._last_flat), False
            self._write(self._known_until())

    def _skip(self, cause: Cause, until: float) -> None:
        """Writes what came before `until`, and skips what came since."""
        if not self._skipping:
            self._write(until)
            self._writer.finish()
        self._writer.cause, self._next, self._skipping = cause, None, True
        self._after = max(self._after, self._ring.newest or -math.inf)

    def _write(self, until: float) -> None:
        """Writes the packets that were shown before `until`."""
        anew = self._next is None
        if anew:
            self._next = self._ring.start(self._after)
        batch = [] if self._next is None else self._ring.after(self._next)
        batch = list(takewhile(lambda packet: _time(packet) < until, batch))
        if not batch:
            return
        if batch[0].number != self._next:  # some are gone already
            self._writer.finish()
        self._next = batch[-1].number + 1
        self._writer.write([packet for packet in batch if not anew or _time(packet) > self._after], self._offset)
        if self._writer.is_open:
            self._refused = ""
            self._disk.end(f"footage in {self._folder} is written again")

    def _known_until(self) -> float:
        """The time up to which it is known what frames show; all of them, where no more come."""
        newest, now = self._ring.newest or -math.inf, monotonic()
        if newest != self._newest:
            self._newest, self._came = newest, now
        if now - self._came > GAP:  # what is there is whole, however long the camera stays away
            self._writer.finish()
        return math.inf if self._stopping.is_set() or now - self._came > HELD else newest - HELD

    def _write_notes(self) -> None:
        self._noted = monotonic()
        try:
            self._writer.whole.write(self._folder)
        except OSError as error:
            self._notes.begin(f"cannot write footage.json in {self._folder}: {error.strerror}")
            return
        self._notes.end(f"footage.json in {self._folder} is written again")


def _time(packet: CodedPacket) -> float:
    assert packet.time is not None  # the ring gives no others
    return packet.time


def _held_alone(folder: Path) -> BinaryIO:
    """Returns a file that keeps other recordings out of a folder as long as it is open.

    Raises:
        UserError: another process or thread records there, or the folder cannot be written to.
    """
    try:
        lock = (folder / LOCK).open("ab")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another folder") from None
    try:
        alone = take_lock(lock, wait=False)
    except OSError:
        alone = False
    if not alone:
        lock.close()
        raise UserError(f"another recording writes to {folder}: stop it, or choose another folder")
    return lock
