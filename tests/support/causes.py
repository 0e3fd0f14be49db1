"""Events of known causes: the same thing that happens again and again, never quite alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from msflow_stream.events.detection.reasons import direction, place
from msflow_stream.events.store import StoredEvent
from msflow_stream.types import Event, PartName, Reason, Track

SIZE = (1280, 720)
MONDAY = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Cause:
    """What happens, in image widths and seconds: from where, how far it moves, how large it is, how long it takes."""

    at: tuple[float, float]
    way: tuple[float, float] = (0.0, 0.0)
    box: tuple[float, float] = (0.06, 0.1)
    seconds: float = 4.0
    trigger: PartName = "motion"
    camera: str = "gate"


# Somebody walks over the lawn, a lorry comes, another goes the same way back, a bag is left, the sun blinds the camera.
FIVE = (
    Cause((0.15, 0.42), (0.3, 0.0), (0.05, 0.12), 5.0),
    Cause((0.85, 0.28), (-0.4, 0.02), (0.25, 0.16), 3.0),
    Cause((0.45, 0.30), (0.4, -0.02), (0.25, 0.16), 3.0),
    Cause((0.6, 0.45), (0.0, 0.0), (0.06, 0.06), 20.0, "appearance"),
    Cause((0.5, 0.28), (0.0, 0.0), (0.9, 0.5), 40.0, "view"),
)


def events_of(
    causes: tuple[Cause, ...] = FIVE, each: int = 20, jitter: float = 1.0, seed: int = 0
) -> list[tuple[int, StoredEvent]]:
    """Returns each cause's number with its events, in the order of time, over a week."""
    random = np.random.default_rng(seed)
    made = []
    for number, cause in enumerate(causes):
        for one in range(each):
            happened = MONDAY + timedelta(
                days=float(random.integers(0, 7)), hours=float(random.normal(2 + number, 0.5))
            )
            made.append((number, stored(cause, f"{number}-{one:03d}", happened, random, jitter)))
    return sorted(made, key=lambda pair: (pair[1].happened, pair[1].event.id))


def stored(cause: Cause, name: str, happened: datetime, random: np.random.Generator, jitter: float) -> StoredEvent:
    """Returns one event: place by 3 % of the width, way and size by 15 %, length by 30 %, as one standard deviation."""
    spread = lambda sigma: float(random.normal(0, sigma * jitter))  # noqa: E731
    at = (cause.at[0] + spread(0.03), cause.at[1] + spread(0.02))
    share = math.exp(spread(0.15))
    way = (cause.way[0] * share + spread(0.01), cause.way[1] * share + spread(0.01))
    box = (cause.box[0] * math.exp(spread(0.15)), cause.box[1] * math.exp(spread(0.15)))
    seconds = cause.seconds * math.exp(spread(0.3))
    steps = [step / 8 for step in range(9)]
    path = tuple((10 + step * seconds, _pixels(at, way, step, box)) for step in steps)
    triggers: tuple[str, ...] = (cause.trigger,)
    if cause.trigger == "motion" and random.random() < 0.3 * jitter:
        triggers = ("motion", "appearance")
    middle = (at[0] + way[0] / 2, (at[1] + way[1] / 2) * SIZE[0] / SIZE[1])
    event = Event(
        id=f"{cause.camera}-{name}",
        source=cause.camera,
        scene="yard",
        triggers=triggers,
        start=10.0,
        end=10.0 + seconds,
        start_wall=happened,
        end_wall=happened + timedelta(seconds=seconds),
        peak_score=5 + abs(spread(1)),
        peak_index=300,
        peak_time=12.0,
        probability=0.001,
        severity="medium",
        regions=(path[4][1],),
        tracks=(Track(1, path[0][0], path[-1][0], path),),
        version=3,
        why=_reason(cause, way, seconds, middle),
    )
    return StoredEvent(event, happened, label=None, kept=False)


def _pixels(
    at: tuple[float, float], way: tuple[float, float], step: float, box: tuple[float, float]
) -> tuple[int, ...]:
    """Returns a box in the frame, as regions are: nothing of it lies outside."""
    width, height = SIZE
    left = max(0, round((at[0] + way[0] * step - box[0] / 2) * width))
    top = max(0, round((at[1] + way[1] * step - box[1] / 2) * width))
    wide, high = round(box[0] * width), round(box[1] * width)
    left, top = min(left, width - 8), min(top, height - 8)
    return left, top, min(wide, width - left), min(high, height - top)


def _reason(cause: Cause, way: tuple[float, float], seconds: float, middle: tuple[float, float]) -> Reason:
    moves = cause.trigger == "motion"
    velocity = (way[0] / seconds, way[1] / seconds)
    return Reason(
        text="moved" if moves else "looks unusual",
        trigger=cause.trigger,
        index=300,
        time=12.0,
        appearance=1.0,
        motion=5.0 if moves else 0.5,
        view=0.9 if cause.trigger == "view" else 0.1,
        place=place(*middle),
        at=middle,
        direction=direction(*velocity) if moves else None,
        velocity=velocity if moves else None,
        speed=math.hypot(*velocity) if moves else None,
        limit=0.01 if moves else None,
    )
