"""The figures of the synthetic scene: bodies of limbs and boxes in metres, seen by a camera and painted as a sprite.

A body point is (forward, left, up) in metres from the point of the ground it stands on. `axes`, 2 x 3, takes it to the
picture: (right, down), still in metres. A figure is a list of shapes in painting order, the farthest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Point = tuple[float, float, float]  # forward, left, up, in metres
Colour = tuple[float, float, float]  # red, green, blue, 0 to 255
Limb = tuple[Point, Point, float, float, Colour]  # from, to, radius at each end
Shape = tuple[Floats, Colour]  # outline, K x 2 (right, down) in metres

SKIN: tuple[Colour, ...] = ((226, 184, 154), (198, 148, 112), (146, 100, 72), (96, 66, 50))
HAIR: tuple[Colour, ...] = ((38, 30, 26), (70, 48, 32), (128, 96, 58), (120, 118, 116))
TOPS: tuple[Colour, ...] = (
    (52, 62, 88), (120, 44, 44), (214, 212, 204), (58, 60, 62), (78, 104, 84),
    (104, 128, 160), (176, 158, 122), (92, 70, 98), (150, 152, 152), (36, 40, 48),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((40, 48, 70), (34, 34, 38), (96, 94, 90), (128, 114, 88), (66, 80, 108), (58, 50, 46))
TYRE: Colour = (30, 30, 32)
STEEL: Colour = (150, 152, 156)
HALF_TURNS = np.linspace(pi / 2, 5 * pi / 2, 14, dtype=np.float32).reshape(2, 7)
CIRCLE = np.stack([f(np.linspace(0, 2 * pi, 20, endpoint=False)) for f in (np.cos, np.sin)], 1)  # 20 2


@dataclass(frozen=True, slots=True)
class Look:
    """What tells one person from another; `height` in metres."""

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
        """A person at random."""
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


@dataclass(frozen=True, slots=True)
class Sprite:
    """A painted figure: premultiplied float32 colour h x w x 3, alpha h x w (0 to 1) and where its corner lies."""

    colour: Floats
    alpha: Floats
    left: int
    top: int


def walker(look: Look, phase: float, axes: Floats) -> list[Shape]:
    """A pedestrian; `phase` runs through 2 pi in a full stride, two steps."""
    legs = {side: _walking_leg(look, phase + (pi if side < 0 else 0.0), side) for side in (-1, 1)}
    drop = min(leg[1][1][2] for leg in legs.values()) - 0.07  # the lower ankle stands on the ground
    legs = {side: [_raised(limb, -drop) for limb in leg] for side, leg in legs.items()}
    far = 1 if axes[1, 1] < 0 else -1  # left is far where a step to the left goes up in the picture
    arms = {side: _swinging_arm(look, phase + (0.0 if side < 0 else pi), side, -drop) for side in (-1, 1)}
    body = _upper_body(look, hip=(0.0, 0.9 - drop), shoulder=(0.04, 1.42 - drop))
    limbs = [_darker(limb, 0.8) for limb in arms[far] + legs[far]] + legs[-far] + body + arms[-far]
    return shapes_of(_sized(limbs, look), axes)


def skater(look: Look, axes: Floats) -> list[Shape]:
    """A person crouching sideways on a long board, arms spread."""
    board = box((-0.5, 0.5), (-0.13, 0.13), (0.1, 0.15), (232, 92, 36), axes)
    wheels = [shape for f in (-0.36, 0.36) for shape in _wheel(f, 0.12, 0.06, axes)]
    rear: list[Limb] = [
        ((-0.06, 0.0, 0.78), (-0.36, 0.0, 0.55), 0.09, 0.07, look.trousers),
        ((-0.36, 0.0, 0.55), (-0.3, 0.0, 0.2), 0.065, 0.05, look.trousers),
    ]
    front: list[Limb] = [
        ((-0.02, 0.0, 0.78), (0.3, 0.0, 0.58), 0.09, 0.07, look.trousers),
        ((0.3, 0.0, 0.58), (0.28, 0.0, 0.2), 0.065, 0.05, look.trousers),
    ]
    arms: list[Limb] = [
        ((0.16, 0.0, 1.24), (0.62, 0.15, 1.12), 0.055, 0.045, look.top),
        ((0.14, 0.0, 1.24), (-0.42, -0.15, 1.2), 0.055, 0.045, look.top),
    ]
    body = _upper_body(look, hip=(-0.04, 0.8), shoulder=(0.14, 1.27))
    return wheels + board + shapes_of(_sized(rear + front + arms[:1] + body + arms[1:], look), axes)


def cyclist(look: Look, phase: float, axes: Floats) -> list[Shape]:
    """A person on a bicycle; `phase` is the angle of the cranks."""
    red: Colour = (214, 40, 44)
    bottom, saddle, head = (-0.05, 0.0, 0.3), (-0.22, 0.0, 0.92), (0.38, 0.0, 0.88)
    frame: list[Limb] = [
        (bottom, saddle, 0.024, 0.024, red), (bottom, (0.36, 0.0, 0.7), 0.028, 0.028, red),
        ((-0.17, 0.0, 0.76), (0.37, 0.0, 0.78), 0.024, 0.024, red), (bottom, (-0.52, 0.0, 0.34), 0.02, 0.016, red),
        (head, (0.52, 0.0, 0.34), 0.026, 0.02, STEEL), ((0.4, -0.25, 1.0), (0.4, 0.25, 1.0), 0.022, 0.022, TYRE),
        ((-0.32, 0.0, 0.94), (-0.1, 0.0, 0.95), 0.05, 0.03, TYRE),
    ]  # fmt: skip
    legs = {side: _pedalling_leg(look, phase + (pi if side < 0 else 0.0), side) for side in (-1, 1)}
    arms: dict[int, list[Limb]] = {
        s: [((0.2, 0.17 * s, 1.36), (0.3, 0.21 * s, 1.12), 0.055, 0.045, look.top),
            ((0.3, 0.21 * s, 1.12), (0.42, 0.2 * s, 0.95), 0.045, 0.04, look.skin)]
        for s in (-1, 1)
    }  # fmt: skip
    body = _upper_body(look, hip=(-0.2, 1.0), shoulder=(0.18, 1.42))
    far = 1 if axes[1, 1] < 0 else -1
    wheels = _ring(-0.52, 0.34, axes) + _ring(0.52, 0.34, axes)
    behind = [_darker(limb, 0.8) for limb in arms[far] + legs[far]]
    helmet: Limb = ((0.3, 0.0, 1.68), (0.22, 0.0, 1.7), 0.115, 0.12, (238, 238, 232))
    return wheels + shapes_of(behind + frame + legs[-far] + body + [helmet] + arms[-far], axes)


def cart(look: Look, axes: Floats) -> list[Shape]:
    """A motor cart, 2.5 m long and 1.9 m high, with its driver and a load."""
    paint: Colour = (228, 166, 44)
    dark: Colour = (52, 54, 58)
    far = 1 if axes[1, 1] < 0 else -1
    posts: dict[int, list[Limb]] = {
        s: [((f, 0.52 * s, 0.7), (f * 0.92, 0.52 * s, 1.82), 0.03, 0.03, dark) for f in (-0.35, 0.85)] for s in (-1, 1)
    }
    driver: list[Limb] = [
        ((0.1, 0.0, 0.8), (0.55, 0.0, 0.82), 0.1, 0.08, look.trousers),
        *_upper_body(look, hip=(0.02, 0.82), shoulder=(0.0, 1.32)),
        ((0.02, -0.2 * far, 1.3), (0.5, -0.18 * far, 1.08), 0.055, 0.045, look.top),
    ]
    load = box((-1.15, -0.45), (-0.5, 0.5), (0.72, 1.15), (96, 116, 132), axes)
    nose = box((0.8, 1.25), (-0.55, 0.55), (0.3, 0.98), paint, axes)
    cabin = shapes_of(posts[far], axes) + shapes_of(driver, axes)
    rear_to_front = load + cabin + nose if axes[1, 0] > 0 else nose + cabin + load  # forward comes nearer or goes away
    return [
        *(shape for f in (-0.8, 0.85) for shape in _wheel(f, 0.5 * far, 0.25, axes)),
        *box((-1.25, 1.25), (-0.58, 0.58), (0.25, 0.7), paint, axes),
        *rear_to_front,
        *(shape for f in (-0.8, 0.85) for shape in _wheel(f, -0.6 * far, 0.25, axes)),
        *shapes_of(posts[-far], axes),
        *box((-0.5, 0.95), (-0.62, 0.62), (1.82, 1.9), (236, 236, 228), axes),
    ]


def suitcase(colour: Colour, axes: Floats) -> list[Shape]:
    """A suitcase standing on its wheels, its handle drawn out."""
    handle: list[Limb] = [
        ((-0.14, 0.0, 0.68), (-0.14, 0.0, 0.95), 0.022, 0.022, STEEL),
        ((0.14, 0.0, 0.68), (0.14, 0.0, 0.95), 0.022, 0.022, STEEL),
        ((-0.15, 0.0, 0.95), (0.15, 0.0, 0.95), 0.028, 0.028, TYRE),
    ]
    band: Colour = (colour[0] * 0.55, colour[1] * 0.55, colour[2] * 0.55)
    near = -0.18 if axes[1, 1] < 0 else 0.18
    ribs: list[Limb] = [((f, near, 0.12), (f, near, 0.64), 0.018, 0.018, band) for f in (-0.15, 0.0, 0.15)]
    return [
        *box((-0.24, 0.24), (-0.13, 0.13), (0.0, 0.06), TYRE, axes),
        *shapes_of(handle, axes),
        *box((-0.29, 0.29), (-0.18, 0.18), (0.06, 0.7), colour, axes),
        *shapes_of(ribs, axes),
    ]


def bench(axes: Floats) -> list[Shape]:
    """A park bench that looks to its right."""
    wood: Colour = (134, 98, 66)
    legs = [s for f in (-0.75, 0.75) for s in box((f - 0.04, f + 0.04), (-0.22, 0.22), (0.0, 0.42), (60, 60, 62), axes)]
    back = box((-0.9, 0.9), (0.2, 0.26), (0.5, 0.66), wood, axes) + box(
        (-0.9, 0.9), (0.22, 0.28), (0.7, 0.86), wood, axes
    )
    return legs + back + box((-0.9, 0.9), (-0.25, 0.2), (0.42, 0.47), wood, axes)


def lamp_post(axes: Floats) -> list[Shape]:
    """A lamp post, 4.3 m high, its lantern over the forward side."""
    iron: Colour = (74, 80, 80)
    limbs: list[Limb] = [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.5), 0.09, 0.08, iron),
        ((0.0, 0.0, 0.4), (0.0, 0.0, 4.2), 0.055, 0.04, iron),
        ((0.0, 0.0, 4.2), (0.55, 0.0, 4.3), 0.035, 0.03, iron),
        ((0.4, 0.0, 4.27), (0.85, 0.0, 4.3), 0.07, 0.06, (196, 198, 190)),
    ]
    return shapes_of(limbs, axes)


def box(forward: tuple[float, float], left: tuple[float, float], up: tuple[float, float], colour: Colour,
        axes: Floats) -> list[Shape]:  # fmt: skip
    """The faces of a box that turn towards the camera, each in its own light."""
    (b, f), (r, le), (d, u) = forward, left, up
    faces: tuple[tuple[tuple[Point, ...], float], ...] = (
        (((f, r, d), (f, le, d), (f, le, u), (f, r, u)), 0.8),
        (((b, le, d), (b, r, d), (b, r, u), (b, le, u)), 0.72),
        (((f, le, d), (b, le, d), (b, le, u), (f, le, u)), 0.9),
        (((b, r, d), (f, r, d), (f, r, u), (b, r, u)), 0.9),
        (((b, r, u), (f, r, u), (f, le, u), (b, le, u)), 1.12),
    )
    shapes: list[Shape] = []
    for corners, light in faces:
        outline = np.asarray(corners, np.float32) @ axes.T  # 4 2
        side, next_side = outline[1] - outline[0], outline[2] - outline[1]
        if side[0] * next_side[1] - side[1] * next_side[0] < 0:  # anticlockwise as seen: it faces us
            shapes.append((outline, _lit(colour, light)))
    return shapes


def shapes_of(limbs: Sequence[Limb], axes: Floats) -> list[Shape]:
    """Each limb as two outlines: itself in its shade, and the part of it that the light falls on."""
    ends = np.asarray([(limb[0], limb[1]) for limb in limbs], np.float32) @ axes.T  # N 2 2
    radii = np.asarray([limb[2:4] for limb in limbs], np.float32)  # N 2
    along = ends[:, 1] - ends[:, 0]
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None]  # N 1
    angles = angle[:, None] + HALF_TURNS  # N 2 7
    arcs = np.stack([np.cos(angles), np.sin(angles)], -1)  # N 2 7 2
    to_light = np.array([-0.28, -0.22], np.float32)
    shade = (ends[:, :, None] + arcs * radii[:, :, None, None]).reshape(len(limbs), -1, 2)  # N 14 2
    lit = (ends[:, :, None] + (0.62 * arcs + to_light) * radii[:, :, None, None]).reshape(len(limbs), -1, 2)
    pairs = zip(limbs, shade.astype(np.float32), lit.astype(np.float32), strict=True)
    return [shape for limb, a, b in pairs for shape in ((a, _lit(limb[4], 0.8)), (b, _lit(limb[4], 1.06)))]


def paint(shapes: Sequence[Shape], foot: tuple[float, float], pixels_per_metre: float) -> Sprite:
    """Paint shapes, the first one farthest, at several times the picture's resolution and bring them down to it.

    Args:
        shapes: outlines in metres from `foot`.
        foot: where the body stands, (x, y) in pixels of the picture.
    """
    fine = 4 if pixels_per_metre < 60 else 2
    corners = np.concatenate([outline for outline, _ in shapes]) * pixels_per_metre + np.asarray(foot, np.float32)
    left, top = (int(v) for v in np.floor(corners.min(0)) - 1)
    right, bottom = (int(v) for v in np.ceil(corners.max(0)) + 1)
    canvas = np.zeros((fine * (bottom - top), fine * (right - left), 4), np.uint8)
    fixed = np.round(((corners - (left, top)) * fine - 0.5) * 16).astype(np.int32)  # OpenCV's fixed point, 4 bits
    at = 0
    for outline, colour in shapes:
        cv2.fillPoly(canvas, [fixed[at : at + len(outline)]], (*colour, 255), shift=4)
        at += len(outline)
    small = cv2.resize(canvas, (right - left, bottom - top), interpolation=cv2.INTER_AREA).astype(np.float32)
    return Sprite(small[:, :, :3], small[:, :, 3] / np.float32(255), left, top)


def _walking_leg(look: Look, phase: float, side: int) -> list[Limb]:
    thigh = 0.45 * sin(phase)
    shin = thigh - 0.1 - 0.75 * max(0.0, cos(phase)) ** 1.5  # the knee bends while the leg swings forward
    hip = (0.0, 0.09 * side, 0.9)
    knee = (0.43 * sin(thigh), 0.09 * side, 0.9 - 0.43 * cos(thigh))
    ankle = (knee[0] + 0.4 * sin(shin), 0.08 * side, knee[2] - 0.4 * cos(shin))
    toe = (ankle[0] + 0.17 * cos(shin), 0.1 * side, ankle[2] - 0.02 + 0.17 * sin(shin) * 0.6)
    shoe: Colour = (44, 40, 38)
    return [
        (hip, knee, 0.095, 0.07, look.trousers),
        (knee, ankle, 0.068, 0.048, look.trousers),
        (ankle, toe, 0.048, 0.036, shoe),
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


def _upper_body(look: Look, hip: tuple[float, float], shoulder: tuple[float, float]) -> list[Limb]:
    """Torso, neck and head over a (forward, up) hip and shoulder."""
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
    head = (sf + lean + 0.03, 0.0, su + 0.22)
    limbs.append(((sf, 0.0, su), head, 0.055, 0.055, look.skin))
    limbs.append(((head[0] - 0.02, 0.0, head[2] + 0.04), (head[0] - 0.03, 0.0, head[2]), 0.112, 0.1, look.hair))
    limbs.append(
        ((head[0] + 0.035, 0.0, head[2] - 0.03), (head[0] + 0.04, 0.0, head[2] + 0.01), 0.082, 0.08, look.skin)
    )
    return limbs


def _wheel(forward: float, left: float, radius: float, axes: Floats) -> list[Shape]:
    def disc(r: float) -> Floats:
        rim = np.insert(CIRCLE * r + (forward, radius), 1, left, axis=1).astype(np.float32)
        return np.asarray(rim @ axes.T, np.float32)

    return [(disc(radius), TYRE), (disc(radius * 0.5), STEEL)]


def _ring(forward: float, radius: float, axes: Floats) -> list[Shape]:
    """A bicycle's wheel: an outline that runs around the outside and back around the inside."""
    turn = np.linspace(0, 2 * pi, 25)
    r = np.concatenate([np.full(25, radius), np.full(25, radius - 0.05)])
    turns = np.concatenate([turn, turn[::-1]])
    rim = np.stack([forward + r * np.cos(turns), np.zeros(50), radius + r * np.sin(turns)], 1)
    return [(rim.astype(np.float32) @ axes.T, TYRE)]


def _sized(limbs: Sequence[Limb], look: Look) -> list[Limb]:
    k = look.height / 1.75
    return [(_times(a, k), _times(b, k), ra * k, rb * k, colour) for a, b, ra, rb, colour in limbs]


def _times(point: Point, k: float) -> Point:
    return point[0] * k, point[1] * k, point[2] * k


def _raised(limb: Limb, rise: float) -> Limb:
    a, b, ra, rb, colour = limb
    return (a[0], a[1], a[2] + rise), (b[0], b[1], b[2] + rise), ra, rb, colour


def _darker(limb: Limb, light: float) -> Limb:
    return *limb[:4], _lit(limb[4], light)


def _lit(colour: Colour, light: float) -> Colour:
    return min(255.0, colour[0] * light), min(255.0, colour[1] * light), min(255.0, colour[2] * light)
