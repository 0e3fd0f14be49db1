"""Limbs, boxes and painted figures in metres, with their shadows, and the outlines a camera sees of them.

A body point is (forward, left, up) in metres from the point of the ground it stands on. `axes`, 2 x 3, takes it to the
picture: (right, down), still in metres. A figure is a list of shapes in painting order, the farthest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Point = tuple[float, float, float]  # forward, left, up, in metres
Span = tuple[float, float]  # from, to, in metres
Colour = tuple[float, float, float]  # red, green, blue, 0 to 255
Limb = tuple[Point, Point, float, float, Colour]  # from, to, radius at each end
Shape = tuple[Floats, Colour]  # outline, K x 2 (right, down) in metres
TYRE: Colour = (30, 30, 32)
STEEL: Colour = (150, 152, 156)
HALF_TURNS = np.linspace(pi / 2, 5 * pi / 2, 14, dtype=np.float32).reshape(2, 7)
CIRCLE = np.stack([f(np.linspace(0, 2 * pi, 20, endpoint=False)) for f in (np.cos, np.sin)], 1)  # 20 2
SHADOW = 0.45  # the share of light that a shadow takes away


def shapes_of(limbs: Sequence[Limb], axes: Floats) -> list[Shape]:
    """Returns each limb as two outlines: itself in its shade, and the part of it that the light falls on."""
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


def box(forward: Span, left: Span, up: Span, colour: Colour, axes: Floats) -> list[Shape]:
    """Returns the faces of a box that turn towards the camera, each in its own light."""
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


def wheel(forward: float, left: float, radius: float, axes: Floats) -> list[Shape]:
    """Returns a tyre on a rim, upright on the ground and rolling forward."""

    def disc(r: float) -> Floats:
        rim = np.insert(CIRCLE * r + (forward, radius), 1, left, axis=1).astype(np.float32)  # 20 3
        return np.asarray(rim @ axes.T, np.float32)

    return [(disc(radius), TYRE), (disc(radius * 0.5), STEEL)]


def ring(forward: float, radius: float, axes: Floats) -> list[Shape]:
    """Returns a bicycle's wheel: an outline that runs around the outside and back around the inside."""
    turn = np.linspace(0, 2 * pi, 25)
    r = np.concatenate([np.full(25, radius), np.full(25, radius - 0.05)])
    turns = np.concatenate([turn, turn[::-1]])
    rim = np.stack([forward + r * np.cos(turns), np.zeros(50), radius + r * np.sin(turns)], 1)  # 50 3
    return [(rim.astype(np.float32) @ axes.T, TYRE)]


def far_side(axes: Floats) -> int:
    """Returns the side of a body that is turned away from the camera: 1 the left, -1 the right."""
    return 1 if axes[1, 1] < 0 else -1  # left is far where a step to the left goes up in the picture


def scaled(limbs: Sequence[Limb], k: float) -> list[Limb]:
    """Returns the limbs, k times as long and as thick."""
    return [(_times(a, k), _times(b, k), ra * k, rb * k, colour) for a, b, ra, rb, colour in limbs]


def raised(limbs: Sequence[Limb], rise: float) -> list[Limb]:
    """Returns limbs `rise` metres farther up."""
    return [((*a[:2], a[2] + rise), (*b[:2], b[2] + rise), ra, rb, colour) for a, b, ra, rb, colour in limbs]


def darker(limbs: Sequence[Limb], light: float = 0.8) -> list[Limb]:
    """Returns limbs in the share `light` of their light, as on the far side of a body."""
    return [(*limb[:4], _lit(limb[4], light)) for limb in limbs]


def _times(point: Point, k: float) -> Point:
    return point[0] * k, point[1] * k, point[2] * k


def _lit(colour: Colour, light: float) -> Colour:
    return min(255.0, colour[0] * light), min(255.0, colour[1] * light), min(255.0, colour[2] * light)


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A painted figure: premultiplied float32 colour h x w x 3, alpha h x w (0 to 1) and where its corner lies."""

    colour: Floats
    alpha: Floats
    left: int
    top: int


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """The shade a figure casts on the ground: float32 h x w, and where its corner lies."""

    shade: Floats
    left: int
    top: int


def paint(shapes: Sequence[Shape], foot: tuple[float, float], pixels_per_metre: float) -> Sprite:
    """Paints shapes, the first one farthest, at several times the image's resolution and brings them down to it.

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


def cast_shadow(
    sprite: Sprite, foot: tuple[float, float], scale: float, cast: tuple[float, float], footprint: Floats
) -> Shadow:
    """Returns a sprite's silhouette laid on the ground, and the contact's shade around its foot, both softened.

    Args:
        foot: where the body stands, (x, y) in pixels of the picture.
        scale: pixels a metre.
        cast: where the shadow of a point one metre up falls, (right, down) in metres of the picture.
        footprint: 2 x 2, the half axes of the ground it covers, one a column, in metres of the picture.
    """
    h, w = sprite.alpha.shape
    fx, fy = foot
    lean = np.array([[1, -cast[0]], [0, -cast[1]]])
    corners = np.array([[x - fx, y - fy] for x in (sprite.left, sprite.left + w) for y in (sprite.top, sprite.top + h)])
    rim = CIRCLE @ (footprint.T * scale)
    reach = np.concatenate([corners @ lean.T, rim])
    soft = max(1, round(0.06 * scale))
    left, top = (int(v) - 3 * soft for v in np.floor(reach.min(0) + foot))
    right, bottom = (int(v) + 3 * soft for v in np.ceil(reach.max(0) + foot))
    size = (right - left, bottom - top)
    origin = np.array([sprite.left - fx, sprite.top - fy])
    shift = lean @ origin + np.array([fx - left, fy - top])
    shade = cv2.warpAffine(sprite.alpha, np.column_stack([lean, shift]), size, flags=cv2.INTER_LINEAR)
    contact = np.zeros((size[1], size[0]), np.float32)
    outline = np.round((rim * 1.1 + (fx - left, fy - top)) * 16).astype(np.int32)
    cv2.fillPoly(contact, [outline], (1.0,), lineType=cv2.LINE_8, shift=4)
    both = np.maximum(cv2.GaussianBlur(shade, (0, 0), 0.35 * soft), 1.2 * cv2.GaussianBlur(contact, (0, 0), 0.9 * soft))
    return Shadow(both, left, top)


def paste(picture: Floats, share: Floats, sprite: Sprite, violation: bool) -> None:
    """Lays a sprite over the image; `share` is how much of each pixel is a violation, and follows."""
    place, part = _window(sprite.left, sprite.top, sprite.alpha, share)
    alpha = sprite.alpha[part]
    if alpha.size:
        picture[place] = picture[place] * cv2.cvtColor(1 - alpha, cv2.COLOR_GRAY2RGB) + sprite.colour[part]
        share[place] = share[place] * (1 - alpha) + alpha * np.float32(violation)


def shaded(picture: Floats, shadows: Sequence[Shadow]) -> Floats:
    """Returns the image H x W x 3 with shadows on it: where they overlap, the deeper one counts."""
    depth = np.zeros(picture.shape[:2], np.float32)  # H W
    for shadow in shadows:
        place, part = _window(shadow.left, shadow.top, shadow.shade, depth)
        np.maximum(depth[place], shadow.shade[part], out=depth[place])
    return np.asarray(picture * cv2.cvtColor(1 - np.float32(SHADOW) * depth, cv2.COLOR_GRAY2RGB), np.float32)


def _window(left: int, top: int, piece: Floats, whole: Floats) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The rows and columns of `whole` that a piece covers, and those of the piece; empty if it is outside."""
    (h, w), (height, width) = piece.shape, whole.shape
    first_row, first_column = min(max(top, 0), height), min(max(left, 0), width)
    end_row, end_column = max(first_row, min(top + h, height)), max(first_column, min(left + w, width))
    inside = (slice(first_row - top, end_row - top), slice(first_column - left, end_column - left))
    return (slice(first_row, end_row), slice(first_column, end_column)), inside
