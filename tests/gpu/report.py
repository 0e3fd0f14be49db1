"""What the check of a GPU says: one line for each claim, with what was measured and the bound it has to keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

Verdict = Literal["PASS", "FAIL", "SKIP"]


class TimeIsUpError(Exception):
    """The time of a point is used up; what is left of it is cut."""


@dataclass(frozen=True, slots=True)
class Check:
    """One claim and what came of it.

    Attributes:
        point: which of the points it belongs to.
        text: what was claimed, found and allowed, for a person.
        figure, bound: the measured value and its limit, where the claim is about one.
        seconds: since the point's beginning.
    """

    point: str
    verdict: Verdict
    text: str
    figure: float | None = None
    bound: float | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.verdict}  {self.point:<12} {self.text}"


class Case:
    """One claim that is being checked; whatever it raises is a failure of this claim alone."""

    def __init__(self, name: str, send: Callable[[Verdict, str, float | None, float | None], None]) -> None:
        self.name, self._send = name, send
        self.said = False

    def below(self, figure: float, bound: float, what: str = "", unit: str = "") -> None:
        """Claims that the figure is at most the bound."""
        self._compare(figure <= bound, figure, bound, what, unit, "at most")

    def above(self, figure: float, bound: float, what: str = "", unit: str = "") -> None:
        """Claims that the figure is at least the bound."""
        self._compare(figure >= bound, figure, bound, what, unit, "at least")

    def holds(self, true: bool, what: str) -> None:
        """Claims something that is so or not."""
        self._say("PASS" if true else "FAIL", what)

    def measured(self, figure: float, what: str, unit: str = "") -> None:
        """Notes a figure that has no bound."""
        self._say("PASS", f"{what} {_number(figure)}{unit}", figure)

    def skip(self, reason: str) -> None:
        """Says why this cannot be checked here."""
        self._say("SKIP", reason)

    def fail(self, reason: str) -> None:
        """Says what went wrong."""
        self._say("FAIL", reason)

    def _compare(self, true: bool, figure: float, bound: float, what: str, unit: str, word: str) -> None:
        text = f"{what} {_number(figure)}{unit} ({word} {_number(bound)}{unit})".strip()
        self._say("PASS" if true else "FAIL", text, figure, bound)

    def _say(self, verdict: Verdict, text: str, figure: float | None = None, bound: float | None = None) -> None:
        self.said = True
        self._send(verdict, f"{self.name}: {text}", figure, bound)


class At:
    """Where a point's checks are made, and the time that it has.

    Args:
        point: its name.
        device: what is checked.
        seconds: that it may take.
        send: takes each check to the report.
    """

    def __init__(self, point: str, device: torch.device, seconds: float, send: Callable[[Check], None]) -> None:
        self.point, self.device, self._send = point, device, send
        self._start = time.monotonic()
        self._end = self._start + seconds

    @property
    def cuda(self) -> bool:
        """Whether this is a GPU."""
        return self.device.type == "cuda"

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    @contextmanager
    def case(self, name: str, needs: float = 0.0) -> Iterator[Case]:
        """Checks one claim, if there are so many seconds left.

        Raises:
            TimeIsUpError: there are not.
        """
        if self.left < needs or self.left <= 0:
            raise TimeIsUpError(name)
        case = Case(name, self._add)
        try:
            yield case
        except TimeIsUpError:
            raise
        except Exception as error:
            case.fail(f"{type(error).__name__}: {str(error).strip()[:400] or 'no message'}")
        if not case.said:
            case.fail("nothing was found")

    def skip(self, name: str, reason: str) -> None:
        """Says that a claim cannot be checked here, and why."""
        self._add("SKIP", f"{name}: {reason}", None, None)

    def needs_cuda(self, *names: str) -> bool:
        """Returns whether this is a GPU; if not, says so for each of the claims."""
        if not self.cuda:
            for name in names:
                self.skip(name, "needs CUDA")
        return self.cuda

    def synchronise(self) -> None:
        """Waits for the GPU."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def _add(self, verdict: Verdict, text: str, figure: float | None, bound: float | None) -> None:
        taken = round(time.monotonic() - self._start, 2)
        self._send(Check(self.point, verdict, text.replace("\n", " "), figure, bound, taken))


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
