"""What stands still: the suitcase somebody left behind, and the place's bench and lamp post."""

from __future__ import annotations

from msflow_stream.datasets.synthetic.shapes import STEEL, TYRE, Colour, Floats, Limb, Shape, box, far_side, shapes_of

SUITCASES: tuple[Colour, ...] = ((196, 44, 52), (34, 92, 170), (228, 196, 40), (24, 126, 92))
WOOD: Colour = (134, 98, 66)
IRON: Colour = (74, 80, 80)
DARK_IRON: Colour = (60, 60, 62)
LANTERN: Colour = (196, 198, 190)


def suitcase(colour: Colour, axes: Floats) -> list[Shape]:
    """A suitcase standing on its wheels, its handle drawn out."""
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
    """A park bench that looks to its right."""
    return [
        *(s for f in (-0.75, 0.75) for s in box((f - 0.04, f + 0.04), (-0.22, 0.22), (0.0, 0.42), DARK_IRON, axes)),
        *box((-0.9, 0.9), (0.2, 0.26), (0.5, 0.66), WOOD, axes),
        *box((-0.9, 0.9), (0.22, 0.28), (0.7, 0.86), WOOD, axes),
        *box((-0.9, 0.9), (-0.25, 0.2), (0.42, 0.47), WOOD, axes),
    ]


def lamp_post(axes: Floats) -> list[Shape]:
    """A lamp post, 4.3 m high, its lantern over the forward side."""
    limbs: list[Limb] = [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.5), 0.09, 0.08, IRON),
        ((0.0, 0.0, 0.4), (0.0, 0.0, 4.2), 0.055, 0.04, IRON),
        ((0.0, 0.0, 4.2), (0.55, 0.0, 4.3), 0.035, 0.03, IRON),
        ((0.4, 0.0, 4.27), (0.85, 0.0, 4.3), 0.07, 0.06, LANTERN),
    ]
    return shapes_of(limbs, axes)
