"""The states of a live camera, which may follow which, who is told, and the snapshot of a camera."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from msflow_stream.video.cards import Decoder
from msflow_stream.video.live.faults import ADVICE, Fault
from msflow_stream.video.reading.source_info import SourceInfo

logger = logging.getLogger(__name__)

FINDINGS = {Fault.FROZEN: "the picture is frozen, identical", Fault.BLACK: "the picture is black, without texture"}


class State(StrEnum):
    """The states of a camera."""

    CONNECTING = "connecting"  # an attempt is on its way
    RUNNING = "running"  # frames come
    STALLED = "stalled"  # connected, but no frames come, or they are frozen or black
    RECONNECTING = "reconnecting"  # waiting for the next attempt
    STOPPED = "stopped"  # as asked
    FAILED = "failed"  # given up


ENDINGS = frozenset({State.STOPPED, State.FAILED})


TRANSITIONS: Mapping[State, AbstractSet[State]] = {
    State.CONNECTING: {State.RUNNING, State.RECONNECTING} | ENDINGS,
    State.RUNNING: {State.STALLED, State.RECONNECTING} | ENDINGS,
    State.STALLED: {State.RUNNING, State.STALLED, State.RECONNECTING} | ENDINGS,  # itself: for another reason
    State.RECONNECTING: {State.CONNECTING} | ENDINGS,
    State.STOPPED: frozenset(),
    State.FAILED: frozenset(),
}


Observer = Callable[[State, State, str], None]


class Condition(NamedTuple):
    """A state with its reason: one line for people, and the kind of trouble, None where there is none."""

    state: State
    reason: str
    fault: Fault | None


class IllegalTransition(RuntimeError):  # noqa: N818  # a bug in the caller, named for what happened
    """A change of state that TRANSITIONS does not have."""


class StateMachine:
    """Holds a camera's condition; safe to use from several threads.

    Attributes:
        condition: the present one; to be read without waiting for anybody.
    """

    def __init__(self) -> None:
        self.condition = Condition(State.CONNECTING, "connecting", None)
        self._observers: list[Observer] = []
        # Held while observers are told, so that all see the changes in their order.
        self._lock = threading.RLock()

    def observe(self, observer: Observer) -> None:
        """Tells `observer(old, new, reason)` of every change from now on, in the thread that makes it; be quick."""
        with self._lock:
            self._observers.append(observer)

    def move(
        self, new: State, reason: str, fault: Fault | None = None, only_from: AbstractSet[State] | None = None
    ) -> bool:
        """Changes the state, and returns True; or does nothing, and returns False, in a state not in `only_from`.

        Raises:
            IllegalTransition: TRANSITIONS does not have it; nothing changes.
        """
        with self._lock:
            old = self.condition.state
            if only_from is not None and old not in only_from:
                return False
            if new not in TRANSITIONS[old]:
                raise IllegalTransition(f"{old} -> {new} ({reason})")
            self.condition = Condition(new, reason, fault)
            for observer in tuple(self._observers):
                observer(old, new, reason)
            return True


class Reporter:
    """A camera's state machine, for threads that may find that another has ended it; and its log."""

    def __init__(self, name: str) -> None:
        self._name, self._machine = name, StateMachine()
        self._warned: Fault | None = None  # the trouble in the log's last warning

    @property
    def condition(self) -> Condition:
        """The present condition."""
        return self._machine.condition

    def observe(self, observer: Observer) -> None:
        """Tells `observer` of every change from now on: see `StateMachine.observe`."""
        self._machine.observe(observer)

    def move(
        self, new: State, reason: str, fault: Fault | None = None, only_from: AbstractSet[State] | None = None
    ) -> None:
        """Changes the state as `StateMachine.move` does, but for a camera that has ended, which stays so.

        Raises:
            IllegalTransition: from a state that is no end.
        """
        try:
            moved = self._machine.move(new, reason, fault, only_from)
        except IllegalTransition:
            if self.condition.state not in ENDINGS:
                raise
            return
        if moved and new is not State.CONNECTING and fault is not self._warned:  # once, not at every attempt
            self._warned = fault
            logger.log(logging.INFO if fault is None else logging.WARNING, "%s: %s: %s", self._name, new, reason)

    def update(self, trouble: tuple[Fault, float] | None) -> None:
        """Takes what `PictureCheck.check` found: images that tell nothing make a camera stalled."""
        if trouble is None:
            if self.condition.state is not State.RUNNING:
                self.move(State.RUNNING, "pictures change again")
        elif self.condition.fault is not trouble[0]:
            fault, seconds = trouble
            self.move(State.STALLED, f"{FINDINGS[fault]} for {seconds:.1f} s; {ADVICE[fault]}", fault)


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """A snapshot of one camera.

    Attributes:
        state, reason, fault: its state, the reason in one line, and the kind of trouble, None where there is none.
        frames_read: frames that arrived, decoded or not; the index of the next one.
        frames_sampled: those of them handed on.
        decode_errors: damaged packets and frames.
        reconnects: attempts to connect again, successful or not.
        segment: number of the connection that gave the last frame, counted from 0; None before the first frame.
        last_wall: when the last frame came.
        lag: seconds behind live; grows while no frame comes. None before the first frame, and for a file.
        info: the present stream, with the size of its last frame; None before the first frame.
        decoder: what decodes it, cpu or cuda; None before the first frame.
    """

    name: str
    state: State
    reason: str
    fault: Fault | None
    frames_read: int
    frames_sampled: int
    decode_errors: int
    reconnects: int
    segment: int | None
    last_wall: datetime | None
    lag: float | None
    info: SourceInfo | None
    decoder: Decoder | None = None


class Counts:
    """The counts that the reader thread keeps and others look at."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.read = self.sampled = self.errors = self.reconnects = 0
        self.segment: int | None = None
        self.last_wall: datetime | None = None
        self.last_arrival: float | None = None  # seconds of the reader's clock
        self.lag = 0.0  # of the last frame, when it came
        self.info: SourceInfo | None = None
        self.decoder: Decoder | None = None

    def snapshot(self, name: str, condition: Condition, now: float) -> CameraStatus:
        """Returns all of it at `now`, in seconds of the reader's clock."""
        with self.lock:
            return CameraStatus(
                name=name,
                state=condition.state,
                reason=condition.reason,
                fault=condition.fault,
                frames_read=self.read,
                frames_sampled=self.sampled,
                decode_errors=self.errors,
                reconnects=self.reconnects,
                segment=self.segment,
                last_wall=self.last_wall,
                lag=None if self.last_arrival is None else self.lag + max(0.0, now - self.last_arrival),
                info=self.info,
                decoder=self.decoder,
            )
