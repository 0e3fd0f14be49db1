"""One live camera, read day and night: connected, read, connected again when there is trouble, which is said."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from random import Random
from time import monotonic
from types import TracebackType
from typing import Self

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.types import Frame, UserError
from msflow_stream.video.cards import Card, DecoderChoice
from msflow_stream.video.live.connection import Connection, DecodedFrame
from msflow_stream.video.live.faults import ADVICE, CameraError, Fault
from msflow_stream.video.live.picture_check import PictureCheck
from msflow_stream.video.live.states import CameraStatus, Counts, Observer, Reporter, State
from msflow_stream.video.live.timeline import CameraConnection, FrameNumbering
from msflow_stream.video.packets.packet_ring import PacketObserver
from msflow_stream.video.reading.colour import FrameConverter
from msflow_stream.video.reading.source_info import live_name

logger = logging.getLogger(__name__)

GRACE = 2.0  # seconds beyond the timeouts that stop() gives the threads to end


class CameraReader:
    """One camera, read in threads of its own from start() to stop(). A context manager.

    >>> with CameraReader("rtsp://gate.example/live", queue.put, random=Random()) as camera:  # doctest: +SKIP
    ...     print(camera.status())
    """

    def __init__(
        self,
        url_or_index: str,
        deliver: Callable[[Frame], bool | None],
        *,
        random: Random,
        name: str | None = None,
        settings: CameraSettings | None = None,
        ended: Callable[[BaseException | None], None] | None = None,
        connect: Callable[[], CameraConnection] | None = None,
        clock: Callable[[], float] = monotonic,
        wait: Callable[[float], bool] | None = None,
        packets: PacketObserver | None = None,
        motion: bool = True,
        card: Card | None = None,
    ) -> None:
        """Prepares; nothing is opened before start().

        Args:
            url_or_index: the camera's, see `Connection`.
            deliver: is given the sampled frames in order, in the reader's thread; it should return at once. False
                says that no more are wanted, and ends the reading.
            random: draws the jitter of the waits.
            name: the source's name; made from the address where it is None.
            ended: called once, in the reader's thread, after the last frame was delivered and with the state final:
                with what made the camera fail, or None.
            connect: opens a connection; the real one unless a test brings its own.
            clock: seconds, monotonic.
            wait: waits so many seconds, or shorter if asked to stop, and returns whether it was.
            packets: is shown all packets and the time of each frame, in the reader's thread.
            motion: the frames come with what was `earlier`.
            card: the card of the scene, for the decoder of the settings.
        """
        self.name = name or live_name(url_or_index)
        self._settings, self._deliver, self._random, self._clock = settings or CameraSettings(), deliver, random, clock
        self._connect = connect or partial(
            Connection,
            url_or_index,
            self._settings,
            name=self.name,
            choice=DecoderChoice(self.name, self._settings.decode, card),
            packets=packets,
            motion=motion,
        )
        self._stopping, self._over = threading.Event(), threading.Event()
        self._wait, self._ended = wait or self._stopping.wait, ended
        self._failure: BaseException | None = None  # what made the camera fail
        self._bug: BaseException | None = None  # what stop() is to raise
        self._counts, self._reporter = Counts(), Reporter(self.name)
        converter = FrameConverter(threads=False, card=card)
        self._numbering = FrameNumbering(self.name, self._settings.every, self._counts, packets, converter)
        self._check = PictureCheck(self._settings.frozen_after, self._settings.black_after)
        self._threads = [
            threading.Thread(target=work, name=f"{self.name}-{name}", daemon=True)
            for name, work in (("read", self._run), ("lookout", self._look_out))
        ]

    def observe(self, observer: Observer) -> None:
        """Tells `observer(old, new, reason)` of every change of state, in the thread that makes it; be quick."""
        self._reporter.observe(observer)

    def status(self) -> CameraStatus:
        """Returns a snapshot; never waits for the camera."""
        return self._counts.snapshot(self.name, self._reporter.condition, self._clock())

    def start(self) -> None:
        """Begins to connect, and returns at once; once in a reader's life."""
        for thread in self._threads:
            thread.start()

    def ask_to_stop(self) -> None:
        """Asks the reading to end, at most one timeout later, and returns at once. From any thread; twice is fine."""
        self._stopping.set()

    def stop(self) -> None:
        """Ends the reading, at most one timeout later, and nothing is delivered after it. Twice is fine.

        Raises:
            BaseException: the bug that ended the reading, if there was no `ended` to take it; or one in `ended`.
        """
        self.ask_to_stop()
        if threading.current_thread() in self._threads:
            return  # called from `deliver` or an observer: the thread ends when that returns
        patience = max(self._settings.open_timeout, self._settings.read_timeout) + GRACE
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(patience)
                if thread.is_alive():  # a daemon: it delivers nothing more, and does not hold up the program's end
                    logger.warning("%s: thread %s does not end and is left behind", self.name, thread.name)
            self._over.set()  # the second thread waits for nothing but this
        self._reporter.move(State.STOPPED, "stopped")
        bug, self._bug = self._bug, None
        if bug is not None:
            raise bug

    def join(self, timeout: float | None = None) -> bool:
        """Waits, at most so many seconds, until reading has ended by itself, and returns whether it has."""
        for thread in self._threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        """Does the work of the reader thread."""
        try:
            self._guard(self._read)
        finally:
            self._over.set()
        if self._ended is None:
            if self._failure is not None and not isinstance(self._failure, UserError):
                self._bug = self._failure
            return
        try:
            self._ended(self._failure)
        except BaseException as error:
            self._bug = error

    def _guard(self, work: Callable[[], None]) -> None:
        """Does a thread's work; whatever ends it is noted as the camera's state."""
        try:
            work()
        except CameraError as error:
            self._fail(error, str(error), error.fault)
        except UserError as error:
            self._fail(error, str(error), Fault.ADDRESS)
        except BaseException as error:
            self._fail(error, f"internal error ({type(error).__name__}); {ADVICE[Fault.BUG]}", Fault.BUG)
        finally:
            self._stopping.set()

    def _fail(self, error: BaseException, reason: str, fault: Fault) -> None:
        self._failure = self._failure or error
        try:
            self._reporter.move(State.FAILED, reason, fault)
        except BaseException:  # an observer's bug
            logger.exception("%s: an observer failed", self.name)

    def _read(self) -> None:
        """Reads one connection after the other."""
        failures = 0
        while not self._stopping.is_set():
            error, held = self._session()
            if error is None or self._stopping.is_set():
                break
            failures = 1 if held >= self._settings.backoff.settled else failures + 1
            if self._settings.attempts is not None and failures >= self._settings.attempts:
                raise error
            delay = self._settings.backoff.delay(failures, self._random, slow=error.fault is Fault.CREDENTIALS)
            self._reporter.move(State.RECONNECTING, f"{error}; next attempt in {delay:.1f} s", error.fault)
            if self._wait(delay):
                break
            with self._counts.lock:
                self._counts.reconnects += 1
            self._reporter.move(State.CONNECTING, "connecting again", error.fault)
        self._reporter.move(State.STOPPED, "stopped")

    def _session(self) -> tuple[CameraError | None, float]:
        """Reads one connection; returns what ended it, None if it was asked to, and how many seconds it held."""
        try:
            connection = self._connect()
        except CameraError as error:
            return error.with_traceback(None), 0.0
        begin = self._clock()
        try:
            self._numbering.open(connection)
            for decoded in connection:
                if self._stopping.is_set() or not self._hand_on(connection, decoded):
                    return None, self._clock() - begin
            ended = CameraError(self.name, Fault.ENDED, "the stream ended")
        except CameraError as error:
            ended = error.with_traceback(None)
        finally:
            self._numbering.count(connection)
            connection.close()
        return ended, self._clock() - begin

    def _hand_on(self, connection: CameraConnection, decoded: DecodedFrame) -> bool:
        """Hands a frame on if it is one of those sampled; returns whether more are wanted."""
        early = self._numbering.early(connection, decoded, self._clock())
        if early and self._wait(early):
            return False
        now = self._clock()
        frame = self._numbering.add(connection, decoded, now, datetime.now(UTC))
        condition = self._reporter.condition
        if condition.state is State.CONNECTING or condition.fault is Fault.SILENT:
            self._reporter.move(State.RUNNING, "pictures come")
        if frame is None:
            return True
        self._reporter.update(self._check.check(frame, now))
        return self._deliver(frame) is not False

    def _look_out(self) -> None:
        """Does the work of the second thread, as the reader cannot notice that nothing comes while it waits."""
        self._guard(self._watch_for_silence)

    def _watch_for_silence(self) -> None:
        limit = self._settings.stalled_after
        while not self._over.wait(limit / 4):
            arrived, now = self._counts.last_arrival, self._clock()
            if arrived is None or now - arrived < limit or self._reporter.condition.fault is Fault.SILENT:
                continue
            reason = f"no picture for {now - arrived:.1f} s; {ADVICE[Fault.SILENT]}"
            self._reporter.move(State.STALLED, reason, Fault.SILENT, only_from={State.RUNNING, State.STALLED})
