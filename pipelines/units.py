"""Jobs in units that depend on nothing but their arguments: here one after the other, on a cluster side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from msflow_stream.types import UserError

EXPECTED = (UserError, OSError, RuntimeError)  # that a unit may fail with alone; RuntimeError: a GPU without memory


@dataclass(frozen=True, slots=True, eq=False)
class Warm:
    """What many units need and takes long to make, such as a scorer: made once per process, handed to each.

    Attributes:
        make: makes it; a function of a module, so that another machine finds it.
        args: its arguments.
    """

    make: Callable[..., Any]
    args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A part of a job that any machine can do at any time, and again: what it leaves is there whole or not at all.

    Attributes:
        key: its name, unique in the job; fit for people's eyes, and without credentials.
        call: what does it; a function of a module, so that another machine finds it.
        args: its arguments, small: large things travel by files.
        cpus, gpus: what it takes of a machine.
        warm: what comes before the arguments; None for nothing.
    """

    key: str
    call: Callable[..., Any]
    args: tuple[Any, ...] = ()
    cpus: float = 1
    gpus: float = 0
    warm: Warm | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The failure of one unit, which stops no other.

    Attributes:
        text: why, in one line that names no unit.
        error: the error itself, where the unit ran in this process.
    """

    text: str
    error: Exception | None = None


# Takes a unit with what it returned, and returns units that can be done now. An error that it raises ends the run.
OnDone = Callable[[Unit, Any], "Iterable[Unit] | None"]


class Share(NamedTuple):
    """What a unit takes of a machine, and the device that it computes on, as --device names it."""

    device: str
    cpus: float
    gpus: float


class UnitRunner(Protocol):
    """What runs the units of a job."""

    def share(self, device: str, gpu: float = 1) -> Share:
        """Returns what a unit takes that computes on a device, such as auto or cpu, and the part of a GPU if so."""

    def run(self, units: Iterable[Unit], on_done: OnDone, title: str = "") -> None:
        """Runs units, and those that follow from them; returns when all are done.

        Args:
            units: in the order in which they are begun.
            on_done: called in this thread with every unit that is done, and with what it returned or a `Failed`.
            title: says on a progress bar what is done.

        Raises:
            KeyboardInterrupt: Ctrl-C; what is not done was given up.
        """


class Here:
    """Runs units in this process, one after the other; they show their own progress."""

    def share(self, device: str, gpu: float = 1) -> Share:
        """Returns the device: all of this machine is there for one unit after the other."""
        return Share(device, 1, 0)

    def run(self, units: Iterable[Unit], on_done: OnDone, title: str = "") -> None:
        """Runs units, those that follow from one right after it."""
        made: dict[Warm, Any] = {}
        left = deque(units)
        while left:
            unit = left.popleft()
            left.extendleft(reversed(list(on_done(unit, _done(unit, made)) or ())))


def _done(unit: Unit, made: dict[Warm, Any]) -> Any:
    try:
        if unit.warm is None:
            return unit.call(*unit.args)
        if unit.warm not in made:
            made[unit.warm] = unit.warm.make(*unit.warm.args)
        return unit.call(made[unit.warm], *unit.args)
    except EXPECTED as error:
        return Failed(str(error), error)
