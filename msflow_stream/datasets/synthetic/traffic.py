"""The traffic on the walkway: pedestrians without end, and the violations of a schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from math import pi, sin
from typing import Literal, get_args

import numpy as np

from msflow_stream.datasets.synthetic.camera import MARGIN, Body, SyntheticCamera
from msflow_stream.datasets.synthetic.people import Look, walker
from msflow_stream.datasets.synthetic.shapes import Floats, Shape
from msflow_stream.datasets.synthetic.vehicles import SUITCASES, cart, cyclist, skater, suitcase
from msflow_stream.types import UserError

Kind = Literal["cart", "cyclist", "object", "skater"]
FIRST_WALKER = 1 << 20  # walkers before time 0 have negative numbers, seeds may not


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
    """Returns a schedule for `duration` seconds: cart, cyclist, object and skater in turn, with normal time between."""
    natural: dict[Kind, float] = {"cart": 3.0, "cyclist": 3.6, "object": 6.0, "skater": 4.2}
    count = max(len(natural), round(duration / 10))
    slot = duration / count
    spans = [(kind, min(natural[kind], 0.6 * slot)) for kind in islice(cycle(natural), count)]
    return tuple(
        Violation(kind, start=(k + 0.5) * slot - length / 2, end=(k + 0.5) * slot + length / 2)
        for k, (kind, length) in enumerate(spans)
    )


@dataclass(frozen=True, slots=True)
class _Walker:
    """A pedestrian: when they come (in intervals between two), metres a second, lane, direction, metres a stride."""

    enters: float
    speed: float
    v: float
    heading: int
    stride: float
    look: Look


class Traffic:
    """One day's passers-by before a camera; all of it follows from the seeds and the time.

    Args:
        seeds: those of the place and of the day.
    """

    def __init__(self, camera: SyntheticCamera, seeds: tuple[int, int]) -> None:
        self._camera = camera
        self._seeds = seeds
        self._walker = lru_cache(maxsize=256)(self._draw_walker)

    def at(self, time: float, violations: Sequence[Violation] = ()) -> list[Body]:
        """Returns all figures at `time`, in seconds: pedestrians, and the violations that last then."""
        return self._pedestrians(time) + [self._violator(v, time) for v in violations if v.start <= time < v.end]

    def _pedestrians(self, time: float) -> list[Body]:
        """Walkers start at steady intervals, so that about four are in sight at any time."""
        length = self._camera.length
        in_sight = length - 2 * MARGIN
        interval = in_sight / 1.3 / min(8.0, max(2.0, 0.32 * in_sight))
        oldest = int((time - length / 1.0) / interval) - 2
        bodies = []
        for number in range(oldest, int(time / interval) + 2):
            who = self._walker(number)
            gone = (time - who.enters * interval) * who.speed
            if 0 <= gone <= length:
                bodies.append(self._walking(who, gone))
        return bodies

    def _draw_walker(self, number: int) -> _Walker:
        rng = np.random.default_rng((*self._seeds, 2, number + FIRST_WALKER))
        return _Walker(
            enters=number + float(rng.uniform(-0.45, 0.45)),
            speed=float(rng.uniform(1.05, 1.6)),
            v=float(rng.uniform(-2.1, 2.1)),
            heading=int(rng.choice([-1, 1])),
            stride=float(rng.uniform(1.3, 1.5)),
            look=Look.draw(rng),
        )

    def _walking(self, who: _Walker, gone: float) -> Body:
        u = self._along(gone, who.heading)
        v = who.v + 0.06 * sin(gone * 0.9 + who.stride * 40)  # nobody keeps to a straight line
        phase = 2 * pi * gone / who.stride
        return Body(u, v, who.heading, (0.24, 0.2), lambda axes: walker(who.look, phase, axes))

    def _violator(self, violation: Violation, time: float) -> Body:
        """The violation's figure at `time`; its lane and its looks follow from the seeds and from when it starts."""
        own = (get_args(Kind).index(violation.kind), abs(round(violation.start * 1000)))
        rng = np.random.default_rng((*self._seeds, 4, *own))
        look, heading, v = Look.draw(rng), int(rng.choice([-1, 1])), float(rng.uniform(-1.2, 1.2))
        if violation.kind == "object":
            u = self._camera.u_at(float(rng.uniform(-0.3, 0.3)), v)
            colour = SUITCASES[rng.integers(len(SUITCASES))]
            return Body(u, v, heading, (0.3, 0.2), lambda axes: suitcase(colour, axes), violation=True)
        gone = self._camera.length * (time - violation.start) / (violation.end - violation.start)
        footprint, draw = _vehicle(violation.kind, look, gone)
        return Body(self._along(gone, heading), v, heading, footprint, draw, violation=True)

    def _along(self, gone: float, heading: int) -> float:
        """U of who has gone so many metres since they came."""
        return self._camera.first_u + gone if heading > 0 else self._camera.last_u - gone


def _vehicle(kind: Kind, look: Look, gone: float) -> tuple[tuple[float, float], Callable[[Floats], list[Shape]]]:
    """Footprint and figure of a cart, cyclist or skater that has gone so many metres."""
    if kind == "cart":
        return (1.25, 0.6), lambda axes: cart(look, axes)
    if kind == "cyclist":
        return (0.85, 0.16), lambda axes: cyclist(look, gone * 1.3, axes)
    return (0.5, 0.2), lambda axes: skater(look, axes)
