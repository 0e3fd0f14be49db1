"""How long to wait before connecting to a camera again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

MOST_DOUBLINGS = 64  # beyond, the ceiling has long been reached, and a float would overflow in the end


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double up to a ceiling, each cut short at random, so that many cameras do not return at once.

    Attributes:
        first: seconds before the first new attempt.
        ceiling: the most seconds between attempts.
        jitter: the largest share by which a wait is cut short, 0 to 1.
        settled: seconds that a connection must have held for the waits to start anew.
    """

    first: float = 1.0
    ceiling: float = 60.0
    jitter: float = 0.5
    settled: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.ceiling:
            raise ValueError(f"first must be above 0 and at most the ceiling, not {self.first} and {self.ceiling}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, not {self.jitter}")

    def delay(self, failures: int, random: Random, patient: bool = False) -> float:
        """Returns the seconds to wait after so many failures in a row (1 and up).

        `patient` waits as after very many: cameras lock accounts out after a few wrong passwords.
        """
        full = self.ceiling if patient else min(self.ceiling, self.first * 2.0 ** min(failures - 1, MOST_DOUBLINGS))
        return full * (1 - self.jitter * random.random())
