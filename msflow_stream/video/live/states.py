"""The states of a live camera, which may follow which, and who is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import NamedTuple

from msflow_stream.video.live.faults import Fault


class State(StrEnum):
    """What a camera is doing."""

    CONNECTING = "connecting"  # an attempt is on its way
    RUNNING = "running"  # pictures come
    STALLED = "stalled"  # connected, but no pictures come, or they are frozen or black
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
