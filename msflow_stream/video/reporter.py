"""Says how a camera is: to observers at every change, to the log whenever the trouble is another one."""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet

from msflow_stream.video.live.faults import ADVICE, Fault
from msflow_stream.video.live.states import ENDINGS, Condition, IllegalTransition, Observer, State, StateMachine

logger = logging.getLogger(__name__)

PICTURES = {Fault.FROZEN: "the picture is frozen, identical", Fault.BLACK: "the picture is black, without texture"}


class Reporter:
    """A camera's state machine, for threads that may find that another has ended it; and its log."""

    def __init__(self, name: str) -> None:
        self._name, self._machine = name, StateMachine()
        self._warned: Fault | None = None  # the trouble in the log's last warning

    @property
    def condition(self) -> Condition:
        return self._machine.condition

    def observe(self, observer: Observer) -> None:
        """See `StateMachine.observe`."""
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

    def picture(self, trouble: tuple[Fault, float] | None) -> None:
        """Takes what `PictureWatch.look` says: pictures that tell nothing make a camera stalled."""
        if trouble is None:
            if self.condition.state is not State.RUNNING:
                self.move(State.RUNNING, "pictures change again")
        elif self.condition.fault is not trouble[0]:
            fault, seconds = trouble
            self.move(State.STALLED, f"{PICTURES[fault]} for {seconds:.1f} s; {ADVICE[fault]}", fault)
