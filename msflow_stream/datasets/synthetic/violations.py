"""What does not belong on the walkway, and when: violations and a schedule of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal, get_args

from msflow_stream.types import UserError

Kind = Literal["cart", "cyclist", "object", "skater"]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that does not belong on the walkway.

    A cart, a cyclist or a skater enters the picture at `start` and has crossed it by `end` (seconds), at the speed
    that takes; an object stands there from `start` until just before `end`.
    """

    kind: Kind
    start: float
    end: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UserError(f"unknown violation {self.kind!r}: use one of {', '.join(get_args(Kind))}")
        if not self.start < self.end:
            raise UserError(f"a violation must end after it starts, got {self.start} to {self.end} s")


def default_violations(duration: float) -> tuple[Violation, ...]:
    """A schedule for a clip of `duration` seconds: cart, cyclist, object and skater in turn, normal time between."""
    natural: dict[Kind, float] = {"cart": 3.0, "cyclist": 3.6, "object": 6.0, "skater": 4.2}
    count = max(len(natural), round(duration / 10))
    slot = duration / count
    spans = [(kind, min(natural[kind], 0.6 * slot)) for kind in islice(cycle(natural), count)]
    return tuple(
        Violation(kind, start=(k + 0.5) * slot - length / 2, end=(k + 0.5) * slot + length / 2)
        for k, (kind, length) in enumerate(spans)
    )
