"""The vehicles on the walkway, a skater, a cyclist and a motor cart, each with its person, and things left behind."""

from __future__ import annotations

from math import cos, pi, sin

from msflow_stream.datasets.synthetic.people import Look, upper_body
from msflow_stream.datasets.synthetic.shapes import (
    STEEL,
    TYRE,
    Colour,
    Floats,
    Limb,
    Shape,
    box,
    darker,
    far_side,
    ring,
    shapes_of,
    wheel,
)

CART: Colour = (228, 166, 44)
CART_POST: Colour = (52, 54, 58)
CART_ROOF: Colour = (236, 236, 228)
LOAD: Colour = (96, 116, 132)
BICYCLE: Colour = (214, 40, 44)
HELMET: Colour = (238, 238, 232)
BOARD: Colour = (232, 92, 36)
SUITCASES: tuple[Colour, ...] = ((196, 44, 52), (34, 92, 170), (228, 196, 40), (24, 126, 92))
WOOD: Colour = (134, 98, 66)
IRON: Colour = (74, 80, 80)
DARK_IRON: Colour = (60, 60, 62)
LANTERN: Colour = (196, 198, 190)


def skater(look: Look, axes: Floats) -> list[Shape]:
    """Returns a person crouching sideways on a long board, arms spread."""
    board = box((-0.5, 0.5), (-0.13, 0.13), (0.1, 0.15), BOARD, axes)
    wheels = [shape for f in (-0.36, 0.36) for shape in wheel(f, 0.12, 0.06, axes)]
    legs: list[Limb] = [
        ((-0.06, 0.0, 0.78), (-0.36, 0.0, 0.55), 0.09, 0.07, look.trousers),
        ((-0.36, 0.0, 0.55), (-0.3, 0.0, 0.2), 0.065, 0.05, look.trousers),
        ((-0.02, 0.0, 0.78), (0.3, 0.0, 0.58), 0.09, 0.07, look.trousers),
        ((0.3, 0.0, 0.58), (0.28, 0.0, 0.2), 0.065, 0.05, look.trousers),
    ]
    front_arm: Limb = ((0.16, 0.0, 1.24), (0.62, 0.15, 1.12), 0.055, 0.045, look.top)
    rear_arm: Limb = ((0.14, 0.0, 1.24), (-0.42, -0.15, 1.2), 0.055, 0.045, look.top)
    body = upper_body(look, hip=(-0.04, 0.8), shoulder=(0.14, 1.27))
    return wheels + board + shapes_of(look.sized([*legs, front_arm, *body, rear_arm]), axes)


def cyclist(look: Look, phase: float, axes: Floats) -> list[Shape]:
    """Returns a person on a bicycle; `phase` is the angle of the cranks."""
    legs = {side: _pedalling_leg(look, phase + (pi if side < 0 else 0.0), side) for side in (-1, 1)}
    arms: dict[int, list[Limb]] = {
        side: [
            ((0.2, 0.17 * side, 1.36), (0.3, 0.21 * side, 1.12), 0.055, 0.045, look.top),
            ((0.3, 0.21 * side, 1.12), (0.42, 0.2 * side, 0.95), 0.045, 0.04, look.skin),
        ]
        for side in (-1, 1)
    }
    body = upper_body(look, hip=(-0.2, 1.0), shoulder=(0.18, 1.42))
    helmet: Limb = ((0.3, 0.0, 1.68), (0.22, 0.0, 1.7), 0.115, 0.12, HELMET)
    far = far_side(axes)
    limbs = [*darker(arms[far] + legs[far]), *_bicycle_frame(), *legs[-far], *body, helmet, *arms[-far]]
    return ring(-0.52, 0.34, axes) + ring(0.52, 0.34, axes) + shapes_of(limbs, axes)


def cart(look: Look, axes: Floats) -> list[Shape]:
    """Returns a motor cart, 2.5 m long and 1.9 m high, with its driver and a load."""
    far = far_side(axes)
    driver: list[Limb] = [
        ((0.1, 0.0, 0.8), (0.55, 0.0, 0.82), 0.1, 0.08, look.trousers),
        *upper_body(look, hip=(0.02, 0.82), shoulder=(0.0, 1.32)),
        ((0.02, -0.2 * far, 1.3), (0.5, -0.18 * far, 1.08), 0.055, 0.045, look.top),
    ]
    load = box((-1.15, -0.45), (-0.5, 0.5), (0.72, 1.15), LOAD, axes)
    nose = box((0.8, 1.25), (-0.55, 0.55), (0.3, 0.98), CART, axes)
    cabin = shapes_of(_cart_posts(far), axes) + shapes_of(driver, axes)
    rear_to_front = load + cabin + nose if axes[1, 0] > 0 else nose + cabin + load  # forward comes nearer or goes away
    return [
        *(shape for f in (-0.8, 0.85) for shape in wheel(f, 0.5 * far, 0.25, axes)),
        *box((-1.25, 1.25), (-0.58, 0.58), (0.25, 0.7), CART, axes),
        *rear_to_front,
        *(shape for f in (-0.8, 0.85) for shape in wheel(f, -0.6 * far, 0.25, axes)),
        *shapes_of(_cart_posts(-far), axes),
        *box((-0.5, 0.95), (-0.62, 0.62), (1.82, 1.9), CART_ROOF, axes),
    ]


def _pedalling_leg(look: Look, phase: float, side: int) -> list[Limb]:
    foot = (-0.05 + 0.17 * cos(phase), 0.1 * side, 0.36 - 0.17 * sin(phase))
    hip = (-0.18, 0.09 * side, 0.96)
    middle = ((hip[0] + foot[0]) / 2, (hip[2] + foot[2]) / 2)
    reach = ((foot[0] - hip[0]) ** 2 + (foot[2] - hip[2]) ** 2) ** 0.5
    bend = max(0.0, 0.43**2 - (reach / 2) ** 2) ** 0.5 / reach  # the knee lies forward of the line from hip to foot
    knee = (middle[0] + bend * (hip[2] - foot[2]), 0.1 * side, middle[1] + bend * (foot[0] - hip[0]))
    toe = (foot[0] + 0.12, foot[1], foot[2] - 0.02)
    return [
        (hip, knee, 0.095, 0.07, look.trousers),
        (knee, foot, 0.066, 0.048, look.trousers),
        (foot, toe, 0.048, 0.036, TYRE),
    ]


def _bicycle_frame() -> list[Limb]:
    bottom, saddle, head = (-0.05, 0.0, 0.3), (-0.22, 0.0, 0.92), (0.38, 0.0, 0.88)
    return [
        (bottom, saddle, 0.024, 0.024, BICYCLE),
        (bottom, (0.36, 0.0, 0.7), 0.028, 0.028, BICYCLE),
        ((-0.17, 0.0, 0.76), (0.37, 0.0, 0.78), 0.024, 0.024, BICYCLE),
        (bottom, (-0.52, 0.0, 0.34), 0.02, 0.016, BICYCLE),
        (head, (0.52, 0.0, 0.34), 0.026, 0.02, STEEL),
        ((0.4, -0.25, 1.0), (0.4, 0.25, 1.0), 0.022, 0.022, TYRE),  # the handlebar
        ((-0.32, 0.0, 0.94), (-0.1, 0.0, 0.95), 0.05, 0.03, TYRE),  # the saddle
    ]


def _cart_posts(side: int) -> list[Limb]:
    return [((f, 0.52 * side, 0.7), (f * 0.92, 0.52 * side, 1.82), 0.03, 0.03, CART_POST) for f in (-0.35, 0.85)]


def suitcase(colour: Colour, axes: Floats) -> list[Shape]:
    """Returns a suitcase standing on its wheels, its handle drawn out."""
    handle: list[Limb] = [
        ((-0.14, 0.0, 0.68), (-0.14, 0.0, 0.95), 0.022, 0.022, STEEL),
        ((0.14, 0.0, 0.68), (0.14, 0.0, 0.95), 0.022, 0.022, STEEL),
        ((-0.15, 0.0, 0.95), (0.15, 0.0, 0.95), 0.028, 0.028, TYRE),
    ]
    band: Colour = (colour[0] * 0.55, colour[1] * 0.55, colour[2] * 0.55)
    near = -0.18 * far_side(axes)
    ribs: list[Limb] = [((f, near, 0.12), (f, near, 0.64), 0.018, 0.018, band) for f in (-0.15, 0.0, 0.15)]
    return [
        *box((-0.24, 0.24), (-0.13, 0.13), (0.0, 0.06), TYRE, axes),
        *shapes_of(handle, axes),
        *box((-0.29, 0.29), (-0.18, 0.18), (0.06, 0.7), colour, axes),
        *shapes_of(ribs, axes),
    ]


def bench(axes: Floats) -> list[Shape]:
    """Returns a park bench that looks to its right."""
    return [
        *(s for f in (-0.75, 0.75) for s in box((f - 0.04, f + 0.04), (-0.22, 0.22), (0.0, 0.42), DARK_IRON, axes)),
        *box((-0.9, 0.9), (0.2, 0.26), (0.5, 0.66), WOOD, axes),
        *box((-0.9, 0.9), (0.22, 0.28), (0.7, 0.86), WOOD, axes),
        *box((-0.9, 0.9), (-0.25, 0.2), (0.42, 0.47), WOOD, axes),
    ]


def lamp_post(axes: Floats) -> list[Shape]:
    """Returns a lamp post, 4.3 m high, its lantern over the forward side."""
    limbs: list[Limb] = [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.5), 0.09, 0.08, IRON),
        ((0.0, 0.0, 0.4), (0.0, 0.0, 4.2), 0.055, 0.04, IRON),
        ((0.0, 0.0, 4.2), (0.55, 0.0, 4.3), 0.035, 0.03, IRON),
        ((0.4, 0.0, 4.27), (0.85, 0.0, 4.3), 0.07, 0.06, LANTERN),
    ]
    return shapes_of(limbs, axes)
