"""People as figures of limbs: what tells them apart, how they walk, and the upper body that riders share with them."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from msflow_stream.datasets.synthetic.shapes import (
    Colour,
    Floats,
    Limb,
    Shape,
    darker,
    far_side,
    raised,
    scaled,
    shapes_of,
)

SKIN: tuple[Colour, ...] = ((226, 184, 154), (198, 148, 112), (146, 100, 72), (96, 66, 50))
HAIR: tuple[Colour, ...] = ((38, 30, 26), (70, 48, 32), (128, 96, 58), (120, 118, 116))
TOPS: tuple[Colour, ...] = (
    (52, 62, 88), (120, 44, 44), (214, 212, 204), (58, 60, 62), (78, 104, 84),
    (104, 128, 160), (176, 158, 122), (92, 70, 98), (150, 152, 152), (36, 40, 48),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((40, 48, 70), (34, 34, 38), (96, 94, 90), (128, 114, 88), (66, 80, 108), (58, 50, 46))
SHOE: Colour = (44, 40, 38)


@dataclass(frozen=True, slots=True)
class Look:
    """The looks of a person; `height` in metres."""

    height: float
    build: float
    top: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    coat: bool
    backpack: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Look:
        """Returns a person at random."""
        return cls(
            height=float(rng.uniform(1.56, 1.88)),
            build=float(rng.uniform(0.9, 1.15)),
            top=TOPS[rng.integers(len(TOPS))],
            trousers=TROUSERS[rng.integers(len(TROUSERS))],
            skin=SKIN[rng.integers(len(SKIN))],
            hair=HAIR[rng.integers(len(HAIR))],
            coat=bool(rng.random() < 0.25),
            backpack=bool(rng.random() < 0.2),
        )

    def sized(self, limbs: list[Limb]) -> list[Limb]:
        """Returns limbs of a person 1.75 m tall, at this person's height."""
        return scaled(limbs, self.height / 1.75)


def walker(look: Look, phase: float, axes: Floats) -> list[Shape]:
    """Returns a pedestrian; `phase` runs through 2 pi in a full stride, two steps."""
    legs = {side: _walking_leg(look, phase + (pi if side < 0 else 0.0), side) for side in (-1, 1)}
    drop = min(leg[1][1][2] for leg in legs.values()) - 0.07  # the lower ankle stands on the ground
    legs = {side: raised(leg, -drop) for side, leg in legs.items()}
    arms = {side: _swinging_arm(look, phase + (0.0 if side < 0 else pi), side, -drop) for side in (-1, 1)}
    body = upper_body(look, hip=(0.0, 0.9 - drop), shoulder=(0.04, 1.42 - drop))
    far = far_side(axes)
    limbs = darker(arms[far] + legs[far]) + legs[-far] + body + arms[-far]
    return shapes_of(look.sized(limbs), axes)


def upper_body(look: Look, hip: tuple[float, float], shoulder: tuple[float, float]) -> list[Limb]:
    """Returns torso, neck and head over a (forward, up) hip and shoulder."""
    (hf, hu), (sf, su) = hip, shoulder
    wide = look.build
    limbs: list[Limb] = []
    if look.coat:
        limbs.append(((hf, 0.0, hu), (hf - 0.02, 0.0, hu - 0.32), 0.16 * wide, 0.19 * wide, look.top))
    for side in (-1, 1):
        limbs.append(((hf, 0.06 * side, hu + 0.05), (sf, 0.1 * side, su - 0.06), 0.125 * wide, 0.115 * wide, look.top))
    if look.backpack:
        limbs.append(((hf - 0.17, 0.0, hu + 0.18), (sf - 0.17, 0.0, su - 0.1), 0.1, 0.09, (60, 66, 60)))
    lean = (sf - hf) * 0.3
    f, u = sf + lean + 0.03, su + 0.22  # the head's middle
    return [
        *limbs,
        ((sf, 0.0, su), (f, 0.0, u), 0.055, 0.055, look.skin),
        ((f - 0.02, 0.0, u + 0.04), (f - 0.03, 0.0, u), 0.112, 0.1, look.hair),
        ((f + 0.035, 0.0, u - 0.03), (f + 0.04, 0.0, u + 0.01), 0.082, 0.08, look.skin),
    ]


def _walking_leg(look: Look, phase: float, side: int) -> list[Limb]:
    thigh = 0.45 * sin(phase)
    shin = thigh - 0.1 - 0.75 * max(0.0, cos(phase)) ** 1.5  # the knee bends while the leg swings forward
    hip = (0.0, 0.09 * side, 0.9)
    knee = (0.43 * sin(thigh), 0.09 * side, 0.9 - 0.43 * cos(thigh))
    ankle = (knee[0] + 0.4 * sin(shin), 0.08 * side, knee[2] - 0.4 * cos(shin))
    toe = (ankle[0] + 0.17 * cos(shin), 0.1 * side, ankle[2] - 0.02 + 0.17 * sin(shin) * 0.6)
    return [
        (hip, knee, 0.095, 0.07, look.trousers),
        (knee, ankle, 0.068, 0.048, look.trousers),
        (ankle, toe, 0.048, 0.036, SHOE),
    ]


def _swinging_arm(look: Look, phase: float, side: int, rise: float) -> list[Limb]:
    upper = 0.4 * sin(phase)
    lower = upper + 0.35
    shoulder = (0.03, 0.2 * side, 1.4 + rise)
    elbow = (shoulder[0] + 0.28 * sin(upper), 0.22 * side, shoulder[2] - 0.28 * cos(upper))
    hand = (elbow[0] + 0.25 * sin(lower), 0.2 * side, elbow[2] - 0.25 * cos(lower))
    return [
        (shoulder, elbow, 0.062, 0.05, look.top),
        (elbow, hand, 0.048, 0.04, look.top),
        (hand, (hand[0] + 0.02, hand[1], hand[2] - 0.06), 0.04, 0.035, look.skin),
    ]
